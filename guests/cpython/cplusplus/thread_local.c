// What C++ keeps for each thread. A thread_local variable is the whole guest's in this target, so that neither of these can be one.
#include <pthread.h>
#include <stdlib.h>

// The exceptions that a thread is handling, as LLVM's libc++abi has them: the one caught last, and how many are on their way.
struct exceptions {
  void *caught;
  unsigned uncaught;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void make_key(void) {
  if (pthread_key_create(&key, free)) abort();
}

struct exceptions *__cxa_get_globals(void) {
  if (pthread_once(&once, make_key)) abort();
  struct exceptions *own = pthread_getspecific(key);
  if (!own) {
    own = calloc(1, sizeof *own);
    if (!own || pthread_setspecific(key, own)) abort();
  }
  return own;
}

struct exceptions *__cxa_get_globals_fast(void) { return __cxa_get_globals(); }

// That one thread ends is no reason to destroy what all have.
int __cxa_thread_atexit(void (*destructor)(void *), void *variable, void *library) {
  (void)destructor, (void)variable, (void)library;
  return 0;
}
