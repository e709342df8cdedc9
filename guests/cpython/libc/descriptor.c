// The descriptor table: open, close, duplicate.
//
// Why not libc's own: it has no dup(), gives out descriptors in no order (POSIX: the lowest free one), and
// frees a socket under the feet of a thread that is blocked on it, which traps.
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "posix.h"

// What sysconf(_SC_OPEN_MAX) says; keeps dup2(0, 1 << 30) from taking all memory.
enum { MAX_DESCRIPTORS = 1 << 16 };

// The folders the host lends us (preopens) are descriptors to libc. A program must not find them among its
// own: os.closerange(3, 256) would close its file system. They live from here up.
enum { HIDDEN = 1 << 28, MAX_HIDDEN = 256 };

struct slot {
  struct description *description;
  bool close_on_exec;
};

static struct slot *slots;
static int slot_count;
static struct description *hidden[MAX_HIDDEN];
static int hidden_count;
static size_t hidden_expected;  // how many of the next insertions are preopens
static bool stdio_opened;
static struct description *called;

int __wasilibc_init_stdio(void);
long __real_sysconf(int name);

int fail(int error) {
  errno = error;
  return -1;
}

// ---- Descriptions

struct description *description_new(void *data, const struct vtable *vtable) {
  struct description *description = calloc(1, sizeof *description);
  if (!description) {
    errno = ENOMEM;
    return NULL;
  }
  description->entry = (struct entry){data, vtable};
  return description;
}

static void destroy(struct description *description) {
  const struct vtable *vtable = description->libc ? description->libc : description->entry.vtable;
  vtable->free(description->entry.data);
  locks_changed();
  if (called == description) called = NULL;
  free(description->peeked);
  free(description);
}

static void release(struct description *description) {
  if (--description->descriptors) return;
  if (!description->operations) {
    destroy(description);
    return;
  }
  // Threads are inside calls on it. They find `closed` set when they wake; the last one out destroys it.
  for (struct operation *o = description->operations; o; o = o->next) {
    o->closed = true;
    coop_wake(o->thread);
  }
}

void descriptor_release(struct description *description) { release(description); }

void operation_begin(struct operation *operation, struct description *description) {
  *operation = (struct operation){.description = description, .thread = coop_self};
  operation->next = description->operations;
  if (operation->next) operation->next->previous = operation;
  description->operations = operation;
}

ssize_t operation_end(struct operation *operation, ssize_t result) {
  struct description *description = operation->description;
  if (operation->previous)
    operation->previous->next = operation->next;
  else
    description->operations = operation->next;
  if (operation->next) operation->next->previous = operation->previous;
  int error = operation->closed && result < 0 ? EBADF : errno;
  if (!description->operations && !description->descriptors) destroy(description);
  errno = error;
  return result;
}

// ---- Descriptors

static bool open_stdio(void) {
  if (stdio_opened) return true;
  stdio_opened = true;
  return __wasilibc_init_stdio() == 0 && process_inherit();
}

static struct slot *slot_of(int fd) {
  return fd >= 0 && fd < slot_count && slots[fd].description ? &slots[fd] : NULL;
}

static bool grow(int count) {
  if (count <= slot_count) return true;
  int wanted = count < 32 ? 32 : count * 2 < MAX_DESCRIPTORS ? count * 2 : MAX_DESCRIPTORS;
  struct slot *larger = realloc(slots, wanted * sizeof *larger);
  if (!larger) return false;
  memset(larger + slot_count, 0, (wanted - slot_count) * sizeof *larger);
  slots = larger;
  slot_count = wanted;
  return true;
}

int descriptor_new(struct description *description, int minimum) {
  int fd = minimum, error = open_stdio() ? 0 : ENOMEM;
  while (fd < slot_count && slots[fd].description) fd++;
  if (!error && fd >= MAX_DESCRIPTORS) error = EMFILE;
  if (!error && !grow(fd + 1)) error = ENOMEM;
  if (error) {
    if (!description->descriptors) destroy(description);
    return fail(error);
  }
  slots[fd] = (struct slot){.description = description};
  description->descriptors++;
  return fd;
}

void descriptor_set_close_on_exec(int fd) { slots[fd].close_on_exec = true; }

struct description *descriptor_take(int fd) {
  struct description *description = slots[fd].description;
  slots[fd] = (struct slot){0};
  return description;
}

void descriptor_place(int fd, struct description *description) {
  if (fd < 0 || fd >= MAX_DESCRIPTORS || !grow(fd + 1)) {
    release(description);
    return;
  }
  if (slots[fd].description) release(slots[fd].description);
  slots[fd] = (struct slot){.description = description};
}

struct description *description_of(int fd) {
  if (!open_stdio()) return NULL;
  struct slot *slot = slot_of(fd);
  if (slot) return called = slot->description;
  if (fd >= HIDDEN && fd < HIDDEN + hidden_count && hidden[fd - HIDDEN])
    return called = hidden[fd - HIDDEN];
  errno = EBADF;
  return NULL;
}

struct description *description_called(void) { return called; }

unsigned pywasm_open_descriptors(void) {
  unsigned open = 0;
  for (int fd = 3; fd < slot_count; fd++) open += slots[fd].description != NULL;
  return open;
}

// ---- What libc calls

extern void __real_filesystem_preopens_get_directories(
    filesystem_preopens_list_tuple2_own_descriptor_string_t *);

// libc adds what it gets from here to the table at once, before anything else.
void __wrap_filesystem_preopens_get_directories(
    filesystem_preopens_list_tuple2_own_descriptor_string_t *folders) {
  open_stdio();  // not among what follows
  __real_filesystem_preopens_get_directories(folders);
  if (hidden_count + folders->len > MAX_HIDDEN) {
    static const char message[] = "pywasm: more than 256 folders are mounted\n";
    write(2, message, sizeof message - 1);
    abort();
  }
  hidden_expected = folders->len;
}

int descriptor_table_insert(struct entry entry) {
  if (!open_stdio()) return -1;
  struct description *description = description_new(entry.data, entry.vtable);
  if (!description) {
    entry.vtable->free(entry.data);
    return fail(ENOMEM);
  }
  description->libc = entry.vtable;
  if (entry.vtable->getsockopt)
    socket_adopt(description);
  else if (entry.vtable->isatty)
    stdio_adopt(description);
  else if (entry.vtable->seek)
    file_adopt(description);
  if (!hidden_expected) return descriptor_new(description, 0);
  hidden_expected--;
  description->descriptors = 1;
  hidden[hidden_count] = description;
  return HIDDEN + hidden_count++;
}

struct entry *descriptor_table_get_ref(int fd) {
  struct description *description = description_of(fd);
  return description ? &description->entry : NULL;
}

// The end of what a snapshot may keep: every handle of the host goes.
void descriptor_table_clear(void) {
  for (int fd = 0; fd < slot_count; fd++) {
    if (slots[fd].description) release(slots[fd].description);
    slots[fd] = (struct slot){0};
  }
  for (int i = 0; i < hidden_count; i++)
    if (hidden[i]) release(hidden[i]);
  memset(hidden, 0, sizeof hidden);
  hidden_count = 0;
  stdio_opened = false;
  socket_forget_network();
  coop_signal_forget();
  process_forget();
}

// ---- What programs call

long __wrap_sysconf(int name) { return name == _SC_OPEN_MAX ? MAX_DESCRIPTORS : __real_sysconf(name); }

int close(int fd) {
  if (!description_of(fd)) return -1;
  if (fd >= HIDDEN) {  // only __wasilibc_reset_preopens() knows these
    release(hidden[fd - HIDDEN]);
    hidden[fd - HIDDEN] = NULL;
    return 0;
  }
  struct description *description = slots[fd].description;
  slots[fd] = (struct slot){0};
  release(description);
  return 0;
}

static int duplicate(int fd, int minimum, bool close_on_exec) {
  struct description *description = description_of(fd);
  if (!description) return -1;
  if (minimum < 0 || minimum >= MAX_DESCRIPTORS) return fail(EINVAL);
  int copy = descriptor_new(description, minimum);
  if (copy >= 0) slots[copy].close_on_exec = close_on_exec;
  return copy;
}

int dup(int fd) { return duplicate(fd, 0, false); }

static int duplicate_to(int fd, int target, bool close_on_exec) {
  struct description *description = description_of(fd);
  if (!description) return -1;
  if (target < 0 || target >= MAX_DESCRIPTORS) return fail(EBADF);
  if (!grow(target + 1)) return fail(ENOMEM);
  description->descriptors++;
  struct description *replaced = slots[target].description;
  slots[target] = (struct slot){description, close_on_exec};
  if (replaced) release(replaced);
  return target;
}

int dup2(int fd, int target) {
  if (fd == target) return description_of(fd) ? fd : -1;
  return duplicate_to(fd, target, false);
}

int dup3(int fd, int target, int flags) {
  if (fd == target || flags) return fail(EINVAL);  // O_CLOEXEC is 0 in this libc
  return duplicate_to(fd, target, false);
}

int __wasilibc_fd_renumber(int fd, int target) {
  if (fd == target) return description_of(fd) ? 0 : -1;
  return duplicate_to(fd, target, false) < 0 ? -1 : close(fd);
}

static bool takes_number(int command) {
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_SETFD || command == F_SETFL;
}

static bool takes_lock(int command) { return command == F_GETLK || command == F_SETLK || command == F_SETLKW; }

int fcntl(int fd, int command, ...) {
  int argument = 0;
  struct flock *lock = NULL;
  va_list arguments;
  va_start(arguments, command);
  if (takes_number(command)) argument = va_arg(arguments, int);
  if (takes_lock(command)) lock = va_arg(arguments, struct flock *);
  va_end(arguments);
  struct description *description = description_of(fd);
  if (!description) return -1;
  const struct vtable *vtable = description->entry.vtable;
  switch (command) {
  case F_DUPFD: return duplicate(fd, argument, false);
  case F_DUPFD_CLOEXEC: return duplicate(fd, argument, true);
  case F_GETFD: return fd < slot_count && slots[fd].close_on_exec ? FD_CLOEXEC : 0;
  case F_SETFD:
    if (fd < slot_count) slots[fd].close_on_exec = argument & FD_CLOEXEC;
    return 0;
  case F_GETFL: return vtable->fcntl_getfl ? vtable->fcntl_getfl(description->entry.data) : fail(EINVAL);
  case F_SETFL:
    return vtable->fcntl_setfl ? vtable->fcntl_setfl(description->entry.data, argument) : fail(EINVAL);
  case F_GETLK:
  case F_SETLK:
  case F_SETLKW: return record_lock(description, command, lock);
  default: return fail(EINVAL);
  }
}

// libc's own calls through a null pointer if the descriptor is not open.
int ioctl(int fd, int request, ...) {
  struct description *description = description_of(fd);
  if (!description) return -1;
  va_list arguments;
  va_start(arguments, request);
  int *value = va_arg(arguments, int *);
  va_end(arguments);
  const struct vtable *vtable = description->entry.vtable;
  if (request == FIONBIO && vtable->set_blocking)
    return vtable->set_blocking(description->entry.data, !*value);
  if (request == FIONREAD) {
    if (!is_pair(description)) return count_readable(description, value);
    *value = (int)pair_readable(description);
    return 0;
  }
  if (request == TIOCGWINSZ) return terminal_size(fd, (struct winsize *)value);
  return fail(ENOTTY);
}
