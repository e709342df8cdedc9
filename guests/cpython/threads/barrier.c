// Barriers and spin locks.
#include "coop.h"

#include <errno.h>
#include <string.h>

struct barrier {
  unsigned limit, arrived;
  struct coop_queue waiters;
};
_Static_assert(sizeof(struct barrier) <= sizeof(pthread_barrier_t), "pthread_barrier_t is too small");

int pthread_barrier_init(pthread_barrier_t *restrict object,
                         const pthread_barrierattr_t *restrict attributes, unsigned count) {
  (void)attributes;  // "process-shared" is all it says, and there is one process
  if (!count) return EINVAL;
  memset(object, 0, sizeof *object);
  ((struct barrier *)object)->limit = count;
  return 0;
}

int pthread_barrier_destroy(pthread_barrier_t *object) {
  return ((struct barrier *)object)->waiters.head ? EBUSY : 0;
}

int pthread_barrier_wait(pthread_barrier_t *object) {
  struct barrier *barrier = (struct barrier *)object;
  if (++barrier->arrived < barrier->limit) {
    coop_park(&barrier->waiters, COOP_FOREVER, NULL);
    return 0;
  }
  barrier->arrived = 0;
  coop_wake_all(&barrier->waiters);
  return PTHREAD_BARRIER_SERIAL_THREAD;
}

int pthread_spin_trylock(pthread_spinlock_t *lock) {
  if (*lock) return EBUSY;
  *lock = 1;
  return 0;
}

// Spinning would keep the holder from ever letting go.
int pthread_spin_lock(pthread_spinlock_t *lock) {
  while (pthread_spin_trylock(lock) != 0) coop_yield();
  return 0;
}

int pthread_spin_unlock(pthread_spinlock_t *lock) {
  *lock = 0;
  return 0;
}
