// File locks, advisory as everywhere. The host keeps them (../wit/locks.wit), for it knows who else has the file.
//
// It answers at once. Who waits for a lock tries again: soon after this process has given one up, and now and then for
// what others do.
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "descriptor.h"
#include "posix.h"

#define IMPORT(name) __attribute__((import_module("pywasm:guest/locks@0.1.0"), import_name(name)))

enum kind { KIND_NONE, KIND_SHARED, KIND_EXCLUSIVE };
enum reason { REASON_BUSY, REASON_ACCESS, REASON_RANGE, REASON_UNAVAILABLE };

struct lock_result {
  uint8_t failed, reason;
};

struct range {
  uint64_t start, length;
};

struct conflict_result {
  uint8_t failed;
  union {
    uint8_t reason;
    struct {
      uint8_t some;
      uint8_t kind __attribute__((aligned(8)));
      struct range range;
    };
  } __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct conflict_result) == 40, "as the canonical ABI lays it out");

IMPORT("lock-file") void host_lock_file(int32_t file, int32_t kind, struct lock_result *);
IMPORT("lock-range")
void host_lock_range(int32_t file, int32_t kind, uint64_t start, uint64_t length, struct lock_result *);
IMPORT("conflicting")
void host_conflicting(int32_t file, int32_t kind, uint64_t start, uint64_t length, struct conflict_result *);

static struct coop_queue waiting;
enum { FIRST_PAUSE = 1000000, LONGEST_PAUSE = 16000000 };  // nanoseconds

void locks_changed(void) { coop_wake_all(&waiting); }

static int error_of(uint8_t reason) {
  switch (reason) {
  case REASON_BUSY: return EAGAIN;
  case REASON_ACCESS: return EBADF;
  case REASON_RANGE: return EINVAL;
  default: return ENOLCK;
  }
}

// What the host knows the file by, or -1.
static int32_t handle_of(struct description *description) {
  filesystem_borrow_descriptor_t file;
  const struct vtable *vtable = description->entry.vtable;
  if (!vtable->get_file || vtable->get_file(description->entry.data, &file) != 0) return fail(EINVAL);
  return file.__handle;
}

// Asks for a lock, of the whole file if `range` is null, until it is there or, without `wait`, once.
static int lock(struct description *description, enum kind kind, const struct range *range, bool wait) {
  struct operation operation;
  operation_begin(&operation, description);
  for (uint64_t pause = FIRST_PAUSE;; pause = pause < LONGEST_PAUSE ? pause * 2 : pause) {
    int32_t file = handle_of(description);
    if (file < 0) return operation_end(&operation, -1);
    struct lock_result result;
    if (range)
      host_lock_range(file, kind, range->start, range->length, &result);
    else
      host_lock_file(file, kind, &result);
    if (!result.failed) break;
    if (result.reason != REASON_BUSY || !wait) return operation_end(&operation, fail(error_of(result.reason)));
    coop_park_interruptibly(&waiting, coop_after(pause), NULL);
    if (coop_self->interrupted) return operation_end(&operation, fail(EINTR));
    if (operation.closed) return operation_end(&operation, fail(EBADF));
  }
  if (kind != KIND_EXCLUSIVE) locks_changed();
  return operation_end(&operation, 0);
}

int flock(int fd, int request) {
  struct description *description = description_of(fd);
  if (!description) return -1;
  enum kind kind;
  switch (request & ~LOCK_NB) {
  case LOCK_UN: kind = KIND_NONE; break;
  case LOCK_SH: kind = KIND_SHARED; break;
  case LOCK_EX: kind = KIND_EXCLUSIVE; break;
  default: return fail(EINVAL);
  }
  return lock(description, kind, NULL, !(request & LOCK_NB));
}

static bool kind_of(short type, enum kind *kind) {
  switch (type) {
  case F_UNLCK: *kind = KIND_NONE; return true;
  case F_RDLCK: *kind = KIND_SHARED; return true;
  case F_WRLCK: *kind = KIND_EXCLUSIVE; return true;
  default: return false;
  }
}

// POSIX counts from the start, the position or the end, and backwards where the length is negative.
static bool range_of(struct description *description, const struct flock *lock, struct range *range) {
  const struct vtable *vtable = description->entry.vtable;
  struct stat status;
  off_t start, length = lock->l_len;
  switch (lock->l_whence) {
  case SEEK_SET: start = 0; break;
  case SEEK_CUR: start = vtable->seek(description->entry.data, 0, SEEK_CUR); break;
  case SEEK_END:
    if (vtable->fstat(description->entry.data, &status) != 0) return false;
    start = status.st_size;
    break;
  default: return errno = EINVAL, false;
  }
  if (__builtin_add_overflow(start, lock->l_start, &start)) return errno = EOVERFLOW, false;
  if (length < 0) {
    start += length;
    length = -length;
  }
  *range = (struct range){(uint64_t)start, (uint64_t)length};
  return start >= 0 && length >= 0 ? true : (errno = EINVAL, false);
}

int record_lock(struct description *description, int command, struct flock *wanted) {
  enum kind kind;
  struct range range;
  if (!description->entry.vtable->seek || !kind_of(wanted->l_type, &kind)) return fail(EINVAL);
  if (!range_of(description, wanted, &range)) return -1;
  if (command != F_GETLK) return lock(description, kind, &range, command == F_SETLKW);
  int32_t file = handle_of(description);
  if (file < 0) return -1;
  struct conflict_result result;
  host_conflicting(file, kind, range.start, range.length, &result);
  if (result.failed) return fail(error_of(result.reason));
  wanted->l_type = F_UNLCK;
  if (!result.some) return 0;
  // As on Linux for a lock whose owner has no number here.
  *wanted = (struct flock){.l_type = result.kind == KIND_SHARED ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET,
                           .l_start = (off_t)result.range.start, .l_len = (off_t)result.range.length, .l_pid = -1};
  return 0;
}
