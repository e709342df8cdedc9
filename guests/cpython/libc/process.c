// Processes: getpid, kill, waitpid, and starting one.
//
// A process is a further instance of this program on the host. There is no fork: what a new one gets is its arguments, its
// environment and the descriptors it is passed.
#define _WASI_EMULATED_SIGNAL
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix.h"
#include "wait.h"

#define IMPORT(name) __attribute__((import_module("pywasm:guest/processes@0.1.0"), import_name(name)))

struct refusal {
  uint8_t failed;
  union {
    uint32_t started;
    struct {
      uint8_t reason;
      struct text message;
    } refused;
    struct {
      int32_t reader, writer;
    } pipe;
  };
};
enum { REFUSED_PROGRAM, REFUSED_LIMIT };

struct reap_result {
  uint8_t failed;
  uint8_t some __attribute__((aligned(4)));
  uint32_t number, status;
};

IMPORT("identity") void host_identity(uint32_t identity[2]);
struct inheritance {
  struct passed *list;
  size_t count;
};

IMPORT("inherited") void host_inherited(struct inheritance *);
IMPORT("pipe") void host_pipe(struct refusal *);
IMPORT("abandoned") int32_t host_abandoned(int32_t writer);
IMPORT("spawn")
void host_spawn(const struct text *arguments, size_t argument_count, const struct text (*environment)[2],
                size_t variable_count, const char *folder, size_t folder_size, const struct passed *descriptors,
                size_t descriptor_count, struct refusal *);
IMPORT("reap") void host_reap(uint32_t child, struct reap_result *);
IMPORT("subscribe") int32_t host_subscribe_child(uint32_t child);
IMPORT("kill") int32_t host_kill(uint32_t process, int32_t signal);

// ---- Who is who

static uint32_t identity[2];  // number and parent; 0 until asked for

static const uint32_t *self(void) {
  if (!identity[0]) host_identity(identity);
  return identity;
}


int getpid(void) { return (int)self()[0]; }
int getppid(void) { return (int)self()[1]; }
int getpgrp(void) { return (int)self()[0]; }

int kill(int process, int number) {
  if (number < 0 || number >= _NSIG) return fail(EINVAL);
  if (process == (int)self()[0] || process == 0) return number ? coop_signal_send(number) : 0;
  return process > 0 && host_kill(process, number) ? 0 : fail(ESRCH);
}

// ---- Children

pid_t waitpid(pid_t child, int *status, int options) {
  if (options & ~(WNOHANG | WUNTRACED | WCONTINUED)) return fail(EINVAL);
  if (child < -1) return fail(ECHILD);  // there are no groups
  uint32_t which = child > 0 ? child : 0;
  for (;;) {
    struct reap_result result;
    host_reap(which, &result);
    if (result.failed) return fail(ECHILD);
    if (result.some) {
      if (status) *status = (int)result.status;
      return (pid_t)result.number;
    }
    if (options & WNOHANG) return 0;
    poll_own_pollable_t ended = {host_subscribe_child(which)};
    poll_borrow_pollable_t pollable = poll_borrow_pollable(ended);
    bool ready;
    struct coop_io io = {&pollable, 1, &ready};
    coop_park_interruptibly(NULL, COOP_FOREVER, &io);
    poll_pollable_drop_own(ended);
    if (coop_self->interrupted) return fail(EINTR);
  }
}

pid_t wait(int *status) { return waitpid(-1, status, 0); }

// ---- Passing descriptors on

static struct description *standard[3];

void process_forget(void) {
  identity[0] = 0;
  for (int i = 0; i < 3; i++)
    if (standard[i]) descriptor_release(standard[i]);
  memset(standard, 0, sizeof standard);
}

// A position is each process's own. So of a file that is being written at its end, such as a log, the end is shared: this
// process until it seeks, and those that get the file, append to it.
static void share_end(struct description *d, uint64_t position) {
  struct stat status;
  int flags = d->entry.vtable->fcntl_getfl(d->entry.data);
  bool writes = flags >= 0 && (flags & O_WRONLY);
  if (writes && !(flags & O_APPEND) && !d->end_shared && d->entry.vtable->fstat(d->entry.data, &status) == 0)
    d->end_shared = (uint64_t)status.st_size == position;
}

static int lend(int ours, struct passed *passed) {
  struct description *d = description_of(ours);
  if (!d) return -1;
  for (unsigned i = 0; i < 3; i++)
    if (d == standard[i]) {
      passed->source = SOURCE_STANDARD;
      passed->standard = i;
      return 0;
    }
  if (is_pair(d) && pair_share(d) < 0) return -1;
  const struct vtable *vtable = d->entry.vtable;
  filesystem_borrow_descriptor_t file;
  if (is_stream(d)) {
    stream_lend(d, passed);
  } else if (is_device(d)) {
    passed->source = SOURCE_DEVICE;
    passed->device = (struct text){device_path(d), strlen(device_path(d))};
  } else if (vtable->get_file && vtable->get_file(d->entry.data, &file) == 0) {
    passed->source = SOURCE_FILE;
    passed->file.file = file.__handle;
    passed->file.position = vtable->seek ? vtable->seek(d->entry.data, 0, SEEK_CUR) : 0;
    if (vtable->seek) share_end(d, passed->file.position);
    passed->file.append = d->end_shared || vtable->fcntl_getfl(d->entry.data) & O_APPEND;
  } else {
    return fail(EOPNOTSUPP);  // a socket
  }
  return 0;
}

int __wasilibc_add_file(filesystem_own_descriptor_t file, int flags);

static struct description *receive(const struct passed *passed) {
  int fd = -1;
  switch (passed->source) {
  case SOURCE_STANDARD: {
    struct description *d = standard[passed->standard < 3 ? passed->standard : 0];
    d->descriptors++;
    return d;
  }
  case SOURCE_READER: fd = stream_new(passed->reader, -1); break;
  case SOURCE_WRITER: fd = stream_new(-1, passed->writer); break;
  case SOURCE_BOTH: fd = stream_new(passed->both.reader, passed->both.writer); break;
  case SOURCE_FILE:
    fd = __wasilibc_add_file((filesystem_own_descriptor_t){passed->file.file}, passed->file.append ? O_APPEND : 0);
    if (fd >= 0 && !passed->file.append) lseek(fd, (off_t)passed->file.position, SEEK_SET);
    break;
  case SOURCE_DEVICE: {
    char *path = strndup(passed->device.data, passed->device.size);
    if (path) fd = open(path, O_RDWR);
    free(path);
    free((void *)passed->device.data);
  }
  }
  return fd < 0 ? NULL : descriptor_take(fd);
}

bool process_inherit(void) {
  struct inheritance inherited;
  host_inherited(&inherited);
  struct description **all = calloc(inherited.count ? inherited.count : 1, sizeof *all);
  if (!all) return false;
  for (int i = 0; i < 3; i++) standard[i] = descriptor_take(i);
  for (size_t i = 0; i < inherited.count; i++) all[i] = receive(&inherited.list[i]);
  for (size_t i = 0; i < inherited.count; i++)
    if (all[i]) descriptor_place((int)inherited.list[i].number, all[i]);
  free(all);
  if (inherited.count) free(inherited.list);
  return true;  // `standard` keeps a hold on its three, also on those without a descriptor
}

int process_pipe(int32_t *reader, int32_t *writer) {
  struct refusal result;
  host_pipe(&result);
  if (result.failed) {
    free((void *)result.refused.message.data);
    return fail(EMFILE);
  }
  *reader = result.pipe.reader;
  *writer = result.pipe.writer;
  return 0;
}

poll_own_pollable_t process_pipe_abandoned(int32_t writer) { return (poll_own_pollable_t){host_abandoned(writer)}; }

// ---- Starting one

static size_t length_of(const char *const *list) {
  size_t count = 0;
  while (list[count]) count++;
  return count;
}

static int start(const struct pywasm_spawn *request, struct text *arguments, struct text (*environment)[2],
                 struct passed *descriptors, char **reason) {
  size_t argument_count = length_of(request->arguments), variable_count = 0;
  for (size_t i = 0; i < argument_count; i++)
    arguments[i] = (struct text){request->arguments[i], strlen(request->arguments[i])};
  for (const char *const *variable = request->environment; *variable; variable++) {
    const char *equals = strchr(*variable, '=');
    if (!equals) continue;
    environment[variable_count][0] = (struct text){*variable, equals - *variable};
    environment[variable_count++][1] = (struct text){equals + 1, strlen(equals + 1)};
  }
  for (size_t i = 0; i < request->descriptor_count; i++) {
    descriptors[i].number = request->descriptors[i][0];
    if (lend(request->descriptors[i][1], &descriptors[i]) < 0) return -1;
  }
  struct refusal result;
  host_spawn(arguments, argument_count, environment, variable_count, request->folder, strlen(request->folder), descriptors,
             request->descriptor_count, &result);
  if (!result.failed) return (int)result.started;
  *reason = strndup(result.refused.message.data, result.refused.message.size);
  free((void *)result.refused.message.data);
  return fail(result.refused.reason == REFUSED_PROGRAM ? ENOENT : result.refused.reason == REFUSED_LIMIT ? EAGAIN : EINVAL);
}

int pywasm_spawn(const struct pywasm_spawn *request, char **reason) {
  *reason = NULL;
  struct stat status;
  if (stat(request->folder, &status) < 0) return -1;
  if (!S_ISDIR(status.st_mode)) return fail(ENOTDIR);
  struct text *arguments = malloc((length_of(request->arguments) + 1) * sizeof *arguments);
  struct text(*environment)[2] = malloc((length_of(request->environment) + 1) * sizeof *environment);
  struct passed *descriptors = calloc(request->descriptor_count + 1, sizeof *descriptors);
  int number = -1;
  errno = ENOMEM;
  if (arguments && environment && descriptors) number = start(request, arguments, environment, descriptors, reason);
  int error = errno;
  free(arguments);
  free(environment);
  free(descriptors);
  errno = error;
  return number;
}
