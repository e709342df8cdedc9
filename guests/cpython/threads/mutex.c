// Mutexes. Unlocking hands the mutex to the first waiter rather than freeing it for whoever comes by:
// with one processor and no preemption, the thread that unlocks would otherwise always win it back.
#include "coop.h"
#include "mutex.h"

#include <errno.h>
#include <string.h>

// Where pthread_mutexattr_settype() keeps the type.
static const unsigned TYPE_MASK = 3;

int pthread_mutex_init(pthread_mutex_t *restrict object, const pthread_mutexattr_t *restrict attributes) {
  memset(object, 0, sizeof *object);
  if (attributes) coop_mutex(object)->type = attributes->__attr & TYPE_MASK;
  return 0;
}

int pthread_mutex_destroy(pthread_mutex_t *object) {
  return coop_mutex(object)->owner ? EBUSY : 0;
}

int pthread_mutex_trylock(pthread_mutex_t *object) {
  struct coop_mutex *mutex = coop_mutex(object);
  if (!mutex->owner) {
    mutex->owner = coop_self;
    mutex->count = 1;
    return 0;
  }
  if (mutex->owner != coop_self || mutex->type != PTHREAD_MUTEX_RECURSIVE) return EBUSY;
  if (mutex->count == UINT32_MAX) return EAGAIN;
  mutex->count++;
  return 0;
}

static int lock_until(pthread_mutex_t *object, uint64_t deadline) {
  struct coop_mutex *mutex = coop_mutex(object);
  int error = pthread_mutex_trylock(object);
  if (error != EBUSY) return error;
  if (mutex->owner == coop_self && mutex->type == PTHREAD_MUTEX_ERRORCHECK) return EDEADLK;
  return coop_park(&mutex->waiters, deadline, NULL) ? 0 : ETIMEDOUT;
}

int pthread_mutex_lock(pthread_mutex_t *object) { return lock_until(object, COOP_FOREVER); }

int pthread_mutex_timedlock(pthread_mutex_t *restrict object, const struct timespec *restrict time) {
  uint64_t deadline;
  int error = pthread_mutex_trylock(object);  // POSIX: a free mutex is taken whatever the time says
  if (error != EBUSY) return error;
  error = coop_deadline(CLOCK_REALTIME, time, &deadline);
  return error ? error : lock_until(object, deadline);
}

void coop_mutex_hand_over(struct coop_mutex *mutex) {
  mutex->owner = coop_wake_first(&mutex->waiters);
  mutex->count = mutex->owner != NULL;
}

int pthread_mutex_unlock(pthread_mutex_t *object) {
  struct coop_mutex *mutex = coop_mutex(object);
  if (mutex->type != PTHREAD_MUTEX_NORMAL) {
    if (mutex->owner != coop_self) return EPERM;
    if (--mutex->count) return 0;
  }
  coop_mutex_hand_over(mutex);
  return 0;
}
