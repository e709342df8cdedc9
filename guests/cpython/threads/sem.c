// Unnamed semaphores. A post with somebody waiting passes the unit straight to the first waiter, so that a
// thread that comes by later cannot take it away.
#include "coop.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <string.h>

struct sem {
  unsigned value;
  struct coop_queue waiters;
};
_Static_assert(sizeof(struct sem) <= sizeof(sem_t), "sem_t is too small");

static int fail(int error) {
  errno = error;
  return -1;
}

int sem_init(sem_t *object, int shared, unsigned value) {
  (void)shared;  // there is no other process to share with
  if (value > INT_MAX) return fail(EINVAL);
  memset(object, 0, sizeof *object);
  ((struct sem *)object)->value = value;
  return 0;
}

int sem_destroy(sem_t *object) { return ((struct sem *)object)->waiters.head ? fail(EBUSY) : 0; }

int sem_trywait(sem_t *object) {
  struct sem *sem = (struct sem *)object;
  if (!sem->value) return fail(EAGAIN);
  sem->value--;
  return 0;
}

static int wait_until(struct sem *sem, uint64_t deadline) {
  if (sem->value) {
    sem->value--;
    return 0;
  }
  bool in_time = coop_park_interruptibly(&sem->waiters, deadline, NULL);
  if (coop_self->interrupted) return fail(EINTR);
  return in_time ? 0 : fail(ETIMEDOUT);
}

int sem_wait(sem_t *object) { return wait_until((struct sem *)object, COOP_FOREVER); }

int sem_clockwait(sem_t *restrict object, clockid_t clock, const struct timespec *restrict time) {
  uint64_t deadline;
  if (((struct sem *)object)->value) return sem_trywait(object);
  int error = coop_deadline(clock, time, &deadline);
  return error ? fail(error) : wait_until((struct sem *)object, deadline);
}

int sem_timedwait(sem_t *restrict object, const struct timespec *restrict time) {
  return sem_clockwait(object, CLOCK_REALTIME, time);
}

int sem_post(sem_t *object) {
  struct sem *sem = (struct sem *)object;
  if (coop_wake_first(&sem->waiters)) return 0;
  if (sem->value == INT_MAX) return fail(EOVERFLOW);
  sem->value++;
  return 0;
}

int sem_getvalue(sem_t *restrict object, int *restrict value) {
  *value = (int)((struct sem *)object)->value;
  return 0;
}
