// File locks, advisory as everywhere.
//
// flock() locks belong to an open file, so two of them conflict inside one process and are kept here. Record
// locks (fcntl) belong to a process and never conflict inside one; the sandbox is one process, so each is granted.
// Neither is seen by another instance that has the same folder mounted: the host interface has no locks.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "descriptor.h"
#include "posix.h"

struct held {
  struct held *next;
  struct description *description;
  dev_t device;
  ino_t file;
  bool exclusive;
};

static struct held *held_locks;
static struct coop_queue waiting;

static struct held **place_of(const struct description *description) {
  struct held **place = &held_locks;
  while (*place && (*place)->description != description) place = &(*place)->next;
  return place;
}

void flock_forget(const struct description *description) {
  struct held **place = place_of(description), *held = *place;
  if (!held) return;
  *place = held->next;
  free(held);
  coop_wake_all(&waiting);
}

static bool conflicts(const struct held *wanted) {
  for (const struct held *held = held_locks; held; held = held->next)
    if (held->description != wanted->description && held->device == wanted->device && held->file == wanted->file &&
        (held->exclusive || wanted->exclusive))
      return true;
  return false;
}

// As on Linux, changing a lock gives the old one up first, even if the new one is then not to be had.
static int lock(struct description *description, struct held wanted, bool wait) {
  flock_forget(description);
  struct operation operation;
  operation_begin(&operation, description);
  while (conflicts(&wanted)) {
    if (!wait) return operation_end(&operation, fail(EWOULDBLOCK));
    coop_park_interruptibly(&waiting, COOP_FOREVER, NULL);
    if (coop_self->interrupted) return operation_end(&operation, fail(EINTR));
    if (operation.closed) return operation_end(&operation, fail(EBADF));
  }
  struct held *held = malloc(sizeof *held);
  if (!held) return operation_end(&operation, fail(ENOLCK));
  *held = wanted;
  held->next = held_locks;
  held_locks = held;
  return operation_end(&operation, 0);
}

int flock(int fd, int request) {
  struct description *description = description_of(fd);
  if (!description) return -1;
  struct stat status;
  if (fstat(fd, &status) != 0) return -1;
  int kind = request & ~LOCK_NB;
  if (kind == LOCK_UN) {
    flock_forget(description);
    return 0;
  }
  if (kind != LOCK_SH && kind != LOCK_EX) return fail(EINVAL);
  struct held wanted = {
      .description = description, .device = status.st_dev, .file = status.st_ino, .exclusive = kind == LOCK_EX};
  return lock(description, wanted, !(request & LOCK_NB));
}

int record_lock(struct description *description, int command, struct flock *lock) {
  if (!description->entry.vtable->seek) return fail(EINVAL);
  if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK) return fail(EINVAL);
  if (lock->l_whence != SEEK_SET && lock->l_whence != SEEK_CUR && lock->l_whence != SEEK_END) return fail(EINVAL);
  if (command == F_GETLK) lock->l_type = F_UNLCK;
  return 0;
}
