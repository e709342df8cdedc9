// What a mutex is, shared with the condition variable that lets go of one.
#pragma once

#include "coop.h"

struct coop_mutex {
  int type;
  struct __pthread *owner;
  uint32_t count;  // how often a recursive mutex is held
  struct coop_queue waiters;
};
_Static_assert(sizeof(struct coop_mutex) <= sizeof(pthread_mutex_t), "pthread_mutex_t is too small");

static inline struct coop_mutex *coop_mutex(pthread_mutex_t *object) {
  return (struct coop_mutex *)object;
}

// Give the mutex to its first waiter, or to nobody.
void coop_mutex_hand_over(struct coop_mutex *mutex);
