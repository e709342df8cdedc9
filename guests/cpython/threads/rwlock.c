// Read-write locks. A reader gets in whenever no writer is in, even past a writer that waits: a thread that
// already reads may read again without a deadlock, as with glibc's default. Those who had to queue are let
// in in order, so a writer waits for the readers of the moment and not for those behind it.
#include "coop.h"

#include <errno.h>
#include <string.h>

struct rwlock {
  struct __pthread *writer;
  unsigned readers;
  struct coop_queue waiters;
};
_Static_assert(sizeof(struct rwlock) <= sizeof(pthread_rwlock_t), "pthread_rwlock_t is too small");

static struct rwlock *rwlock_of(pthread_rwlock_t *object) { return (struct rwlock *)object; }

int pthread_rwlock_init(pthread_rwlock_t *restrict object,
                        const pthread_rwlockattr_t *restrict attributes) {
  (void)attributes;  // "process-shared" is all it says, and there is one process
  memset(object, 0, sizeof *object);
  return 0;
}

int pthread_rwlock_destroy(pthread_rwlock_t *object) {
  return rwlock_of(object)->writer || rwlock_of(object)->readers ? EBUSY : 0;
}

int pthread_rwlock_tryrdlock(pthread_rwlock_t *object) {
  struct rwlock *lock = rwlock_of(object);
  if (lock->writer) return EBUSY;
  if (lock->readers == UINT_MAX) return EAGAIN;
  lock->readers++;
  return 0;
}

int pthread_rwlock_trywrlock(pthread_rwlock_t *object) {
  struct rwlock *lock = rwlock_of(object);
  if (lock->writer || lock->readers) return EBUSY;
  lock->writer = coop_self;
  return 0;
}

static int wait_until(struct rwlock *lock, bool to_write, uint64_t deadline) {
  if (lock->writer == coop_self) return EDEADLK;
  coop_self->wants_to_write = to_write;
  return coop_park(&lock->waiters, deadline, NULL) ? 0 : ETIMEDOUT;
}

static int timed(pthread_rwlock_t *object, bool to_write, const struct timespec *time) {
  int error = to_write ? pthread_rwlock_trywrlock(object) : pthread_rwlock_tryrdlock(object);
  if (error != EBUSY) return error;
  uint64_t deadline = COOP_FOREVER;
  if (time && (error = coop_deadline(CLOCK_REALTIME, time, &deadline))) return error;
  return wait_until(rwlock_of(object), to_write, deadline);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *object) { return timed(object, false, NULL); }
int pthread_rwlock_wrlock(pthread_rwlock_t *object) { return timed(object, true, NULL); }

int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict object, const struct timespec *restrict time) {
  return timed(object, false, time);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict object, const struct timespec *restrict time) {
  return timed(object, true, time);
}

int pthread_rwlock_unlock(pthread_rwlock_t *object) {
  struct rwlock *lock = rwlock_of(object);
  if (lock->writer)
    lock->writer = NULL;
  else if (lock->readers)
    lock->readers--;
  else
    return EPERM;
  if (lock->readers) return 0;
  struct __pthread *first = lock->waiters.head;
  if (first && first->wants_to_write) {
    lock->writer = coop_wake_first(&lock->waiters);
    return 0;
  }
  while (lock->waiters.head && !lock->waiters.head->wants_to_write) {
    coop_wake_first(&lock->waiters);
    lock->readers++;
  }
  return 0;
}
