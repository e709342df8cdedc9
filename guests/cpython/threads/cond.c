// Condition variables.
#include "coop.h"
#include "mutex.h"

#include <errno.h>
#include <string.h>

struct cond {
  struct coop_queue waiters;
  bool monotonic;
};
_Static_assert(sizeof(struct cond) <= sizeof(pthread_cond_t), "pthread_cond_t is too small");

// A clockid_t is a pointer in this libc; its own pthread_condattr_setclock() takes it for a small number.
enum { ATTRIBUTE_MONOTONIC = 1 };

int pthread_condattr_setclock(pthread_condattr_t *attributes, clockid_t clock) {
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) return EINVAL;
  attributes->__attr &= ~(unsigned)ATTRIBUTE_MONOTONIC;
  if (clock == CLOCK_MONOTONIC) attributes->__attr |= ATTRIBUTE_MONOTONIC;
  return 0;
}

int __wrap_pthread_condattr_getclock(const pthread_condattr_t *restrict attributes,
                                     clockid_t *restrict clock) {
  *clock = attributes->__attr & ATTRIBUTE_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME;
  return 0;
}

int pthread_cond_init(pthread_cond_t *restrict object, const pthread_condattr_t *restrict attributes) {
  memset(object, 0, sizeof *object);
  if (attributes) ((struct cond *)object)->monotonic = attributes->__attr & ATTRIBUTE_MONOTONIC;
  return 0;
}

bool coop_cond_is_waited_for(const pthread_cond_t *object) { return ((const struct cond *)object)->waiters.head; }

int pthread_cond_destroy(pthread_cond_t *object) {
  return ((struct cond *)object)->waiters.head ? EBUSY : 0;
}

static int wait_until(struct cond *cond, pthread_mutex_t *object, uint64_t deadline) {
  struct coop_mutex *mutex = coop_mutex(object);
  if (mutex->type != PTHREAD_MUTEX_NORMAL && mutex->owner != coop_self) return EPERM;
  uint32_t count = mutex->count;  // a recursive mutex is let go of entirely
  coop_mutex_hand_over(mutex);
  // A signal makes it one of the spurious wake-ups that POSIX allows: CPython's locks look for signals then.
  int result = coop_park_interruptibly(&cond->waiters, deadline, NULL) ? 0 : ETIMEDOUT;
  pthread_mutex_lock(object);
  mutex->count = count;
  return result;
}

int pthread_cond_wait(pthread_cond_t *restrict object, pthread_mutex_t *restrict mutex) {
  return wait_until((struct cond *)object, mutex, COOP_FOREVER);
}

int pthread_cond_timedwait(pthread_cond_t *restrict object, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict time) {
  struct cond *cond = (struct cond *)object;
  uint64_t deadline;
  int error = coop_deadline(cond->monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, time, &deadline);
  return error ? error : wait_until(cond, mutex, deadline);
}

int pthread_cond_signal(pthread_cond_t *object) {
  coop_wake_first(&((struct cond *)object)->waiters);
  return 0;
}

int pthread_cond_broadcast(pthread_cond_t *object) {
  coop_wake_all(&((struct cond *)object)->waiters);
  return 0;
}
