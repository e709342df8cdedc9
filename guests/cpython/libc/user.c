// Who the program is: one user, root, as in a container.
// Nothing here grants anything: the host decides by what it mounted and published, not by these numbers.
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#include "posix.h"

static const unsigned ROOT = 0;

unsigned getuid(void) { return ROOT; }
unsigned geteuid(void) { return ROOT; }
unsigned getgid(void) { return ROOT; }
unsigned getegid(void) { return ROOT; }

int getgroups(int size, unsigned *list) {
  if (size == 0) return 1;
  if (size < 1) {
    errno = EINVAL;
    return -1;
  }
  list[0] = ROOT;
  return 1;
}

char *getlogin(void) {
  static char name[] = "root";
  return name;
}

int getlogin_r(char *name, size_t size) {
  if (size < sizeof "root") return ERANGE;
  strcpy(name, "root");
  return 0;
}

// wasi files have no permission bits, so the mask has nothing to act on; it is remembered because programs
// read it back.
unsigned umask(unsigned mask) {
  static unsigned current = 022;
  unsigned previous = current;
  current = mask & 0777;
  return previous;
}
