// Thread-specific values and one-time initialisation.
#include "coop.h"

#include <errno.h>
#include <string.h>

enum { DESTRUCTOR_PASSES = 4 };  // PTHREAD_DESTRUCTOR_ITERATIONS

static struct {
  bool used;
  void (*destructor)(void *);
} keys[PTHREAD_KEYS_MAX];

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
  for (pthread_key_t i = 0; i < PTHREAD_KEYS_MAX; i++)
    if (!keys[i].used) {
      keys[i].used = true;
      keys[i].destructor = destructor;
      *key = i;
      return 0;
    }
  return EAGAIN;
}

int pthread_key_delete(pthread_key_t key) {
  if (key >= PTHREAD_KEYS_MAX || !keys[key].used) return EINVAL;
  keys[key].used = false;
  coop_forget_key(key);  // whoever gets this key next must find it empty in every thread
  return 0;
}

void *pthread_getspecific(pthread_key_t key) {
  return key < PTHREAD_KEYS_MAX ? coop_self->values[key] : NULL;
}

int pthread_setspecific(pthread_key_t key, const void *value) {
  if (key >= PTHREAD_KEYS_MAX || !keys[key].used) return EINVAL;
  coop_self->values[key] = (void *)value;
  return 0;
}

// A destructor may set values again: go round until none is left, but not for ever.
void coop_run_key_destructors(void) {
  bool again = true;
  for (int pass = 0; again && pass < DESTRUCTOR_PASSES; pass++) {
    again = false;
    for (pthread_key_t i = 0; i < PTHREAD_KEYS_MAX; i++) {
      void *value = coop_self->values[i];
      coop_self->values[i] = NULL;
      if (value && keys[i].used && keys[i].destructor) {
        keys[i].destructor(value);
        again = true;
      }
    }
  }
}

// The initialiser may block, so a second thread may come while it runs. A once object is a single int:
// the waiters of all of them share one queue.
enum { ONCE_RUNNING = 1, ONCE_DONE = 2 };

int pthread_once(pthread_once_t *once, void (*initialise)(void)) {
  static struct coop_queue waiters;
  while (*once == ONCE_RUNNING) coop_park(&waiters, COOP_FOREVER, NULL);
  if (*once == ONCE_DONE) return 0;
  *once = ONCE_RUNNING;
  initialise();
  *once = ONCE_DONE;
  coop_wake_all(&waiters);
  return 0;
}
