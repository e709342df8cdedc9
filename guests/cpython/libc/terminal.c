// The terminal behind the standard streams, which the host may have lent (../wit/terminal.wit).
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "descriptor.h"
#include "posix.h"

#define IMPORT(name) __attribute__((import_module("pywasm:guest/terminal@0.1.0"), import_name(name)))

struct settings_result {
  uint8_t some;
  uint32_t input __attribute__((aligned(4)));
  uint32_t output, control, local;
  uint8_t *characters;
  size_t characters_size;
};
_Static_assert(sizeof(struct settings_result) == 28, "as the canonical ABI lays it out");

struct size_result {
  uint8_t some;
  uint16_t rows __attribute__((aligned(2)));
  uint16_t columns;
};
_Static_assert(sizeof(struct size_result) == 6, "as the canonical ABI lays it out");

IMPORT("get") void host_terminal_get(struct settings_result *);
IMPORT("set")
int32_t host_terminal_set(int32_t when, uint32_t input, uint32_t output, uint32_t control, uint32_t local,
                          const uint8_t *characters, size_t characters_size);
IMPORT("measure") void host_terminal_measure(struct size_result *);
IMPORT("discard") int32_t host_terminal_discard(int32_t queue);

// There is one terminal: each standard stream that leads to a terminal leads to it.
static bool is_terminal(int fd) { return isatty(fd) == 1; }

int tcgetattr(int fd, struct termios *settings) {
  if (!is_terminal(fd)) return -1;
  struct settings_result result;
  host_terminal_get(&result);
  if (!result.some) return fail(ENOTTY);
  *settings = (struct termios){result.input, result.output, result.control, result.local, {0}};
  memcpy(settings->c_cc, result.characters, result.characters_size < NCCS ? result.characters_size : NCCS);
  free(result.characters);
  return 0;
}

static void forget_what_was_read_ahead(int fd) { description_of(fd)->peeked_size = 0; }

int tcsetattr(int fd, int when, const struct termios *settings) {
  if (when < TCSANOW || when > TCSAFLUSH) return fail(EINVAL);
  if (!is_terminal(fd)) return -1;
  if (when == TCSAFLUSH) forget_what_was_read_ahead(fd);
  const struct termios *s = settings;
  return host_terminal_set(when, s->c_iflag, s->c_oflag, s->c_cflag, s->c_lflag, s->c_cc, NCCS) ? 0 : fail(ENOTTY);
}

int tcflush(int fd, int queue) {
  if (queue < TCIFLUSH || queue > TCIOFLUSH) return fail(EINVAL);
  if (!is_terminal(fd)) return -1;
  if (queue != TCOFLUSH) forget_what_was_read_ahead(fd);
  return host_terminal_discard(queue) ? 0 : fail(ENOTTY);
}

int terminal_size(int fd, struct winsize *size) {
  if (!is_terminal(fd)) return fail(ENOTTY);
  struct size_result result;
  host_terminal_measure(&result);
  if (!result.some) return fail(ENOTTY);
  *size = (struct winsize){.ws_row = result.rows, .ws_col = result.columns};
  return 0;
}

// The host writes at once what it is given.
int tcdrain(int fd) { return is_terminal(fd) ? 0 : -1; }

// There is no line to hold up.
int tcflow(int fd, int action) {
  (void)action;
  return is_terminal(fd) ? fail(EINVAL) : -1;
}

int tcsendbreak(int fd, int duration) {
  (void)duration;
  return is_terminal(fd) ? 0 : -1;
}

speed_t cfgetospeed(const struct termios *settings) { return settings->c_cflag & CBAUD; }
speed_t cfgetispeed(const struct termios *settings) { return cfgetospeed(settings); }

int cfsetospeed(struct termios *settings, speed_t speed) {
  if (speed & ~CBAUD) return fail(EINVAL);
  settings->c_cflag = (settings->c_cflag & ~CBAUD) | speed;
  return 0;
}

// 0 is as fast as the other way.
int cfsetispeed(struct termios *settings, speed_t speed) { return speed ? cfsetospeed(settings, speed) : 0; }

void cfmakeraw(struct termios *settings) {
  settings->c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  settings->c_oflag &= ~OPOST;
  settings->c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  settings->c_cflag = (settings->c_cflag & ~(CSIZE | PARENB)) | CS8;
  settings->c_cc[VMIN] = 1;
  settings->c_cc[VTIME] = 0;
}
