// Threads: create, join, detach, exit, and what can be asked about one.
#include "coop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void coop_thread_entry(void *);
extern char __stack_low, __stack_high;

// A thread costs the host a fiber: two memory mappings and the few pages its stack has touched. The
// kernel's usual limit is 65,530 mappings for the WHOLE host process, which may run many guests.
static const unsigned DEFAULT_MAX_THREADS = 1024;
static const size_t MIN_STACK = 64 * 1024;  // less is not enough for CPython's own frames

static unsigned live = 1;
static unsigned fibers = 1;  // of live threads, those that they made besides, and those that pthread_exit() left parked for ever
static unsigned max_threads;
static struct __pthread *unreaped;  // a detached thread that has ended but still stands on its stack

unsigned coop_live_threads(void) { return live; }
void coop_reset_thread_limit(void) { max_threads = 0; }

static unsigned thread_limit(void) {
  if (!max_threads) {
    const char *setting = getenv("PYWASM_MAX_THREADS");
    long wanted = setting ? strtol(setting, NULL, 10) : 0;
    max_threads = wanted > 0 ? (unsigned)wanted : DEFAULT_MAX_THREADS;
  }
  return max_threads;
}

// The setting is between the host and this library: programs and what they pass on do not see it.
void coop_take_thread_limit(void) {
  thread_limit();
  unsetenv("PYWASM_MAX_THREADS");
}

bool coop_count_fiber(void) {
  if (fibers >= thread_limit()) return false;
  fibers++;
  return true;
}

void coop_uncount_fiber(void) { fibers--; }

static void release(struct __pthread *thread) {
  if (thread == &coop_main_thread) return;
  thread->all_previous->all_next = thread->all_next;
  if (thread->all_next) thread->all_next->all_previous = thread->all_previous;
  if (thread->owns_stack)
    coop_stack_free(thread);
  else
    free(thread);
}

void coop_reap(void) {
  struct __pthread *thread = unreaped;
  unreaped = NULL;
  if (thread) release(thread);
}

// ---- Beginning

int pthread_create(pthread_t *restrict out, const pthread_attr_t *restrict attributes,
                   void *(*start)(void *), void *restrict argument) {
  size_t size = __default_stacksize;
  void *stack = NULL;
  int detached = PTHREAD_CREATE_JOINABLE;
  if (attributes) {
    if (pthread_attr_getstack(attributes, &stack, &size) != 0) {
      stack = NULL;
      pthread_attr_getstacksize(attributes, &size);
    }
    pthread_attr_getdetachstate(attributes, &detached);
  }
  if (!stack && size < MIN_STACK) size = MIN_STACK;
  size &= ~(size_t)15;

  if (!coop_reserve_timers(live + 1) || !coop_reserve_io(1) || !coop_count_fiber()) return EAGAIN;
  struct __pthread *thread = stack ? calloc(1, sizeof *thread) : coop_stack_new(size);
  if (!thread) {
    coop_uncount_fiber();
    return EAGAIN;
  }
  thread->owns_stack = !stack;
  if (stack) thread->own.stack = stack;
  coop_stack_arm(thread->own.stack);
  thread->own.stack_size = size;
  thread->own.stack_top = (uint32_t)((uintptr_t)thread->own.stack + size) & ~15u;
  thread->fiber = &thread->own;
  thread->start = start;
  thread->argument = argument;
  thread->detached = detached == PTHREAD_CREATE_DETACHED;
  snprintf(thread->name, sizeof thread->name, "%p", (void *)thread);
  thread->own.index = cm_thread_new(coop_thread_entry, thread);

  thread->all_previous = &coop_main_thread;
  thread->all_next = coop_main_thread.all_next;
  if (thread->all_next) thread->all_next->all_previous = thread;
  coop_main_thread.all_next = thread;
  live++;
  *out = thread;
  thread->state = COOP_READY;
  coop_queue_append(&coop_run_queue, thread);
  return 0;
}

// ---- Ending

static void finish(struct __pthread *thread, void *result) {
  thread->result = result;
  coop_run_key_destructors();
  thread->exited = true;
  thread->state = COOP_DEAD;
  if (--live == 0) exit(0);  // POSIX: the process ends with its last thread
  coop_wake_all(&thread->joiners);
  if (thread->detached) unreaped = thread;
}

// Called by switch.S on the new thread's own stack.
__attribute__((used)) void coop_thread_main(struct __pthread *thread) {
  coop_reap();
  coop_stack_enter(thread);
  for (int i = 0; coop_tls_words[i]; i++) *coop_tls_words[i] = 0;
  errno = 0;
  void *result = thread->start(thread->argument);
  coop_stack_check();
  finish(thread, result);
  coop_uncount_fiber();
  // The fiber ends when this function returns; the host then resumes the one named here.
  cm_thread_resume_later(coop_elect_successor()->fiber->index);
}

// libc's pthread_cleanup_push() and pop() call these two.
void __do_cleanup_push(struct __ptcb *handler) {
  handler->__next = coop_self->cleanup;
  coop_self->cleanup = handler;
}

void __do_cleanup_pop(struct __ptcb *handler) { coop_self->cleanup = handler->__next; }

// Wasm cannot unwind the frames between here and coop_thread_main(), so the fiber stays parked until the
// program ends: it goes on counting towards the limit.
_Noreturn void pthread_exit(void *result) {
  for (struct __ptcb *handler; (handler = coop_self->cleanup);) {
    coop_self->cleanup = handler->__next;
    handler->__f(handler->__x);
  }
  finish(coop_self, result);
  coop_park_dead();
}

// Take the result of a thread that has exited, and what is left of it.
static void collect(struct __pthread *thread, void **result) {
  if (result) *result = thread->result;
  release(thread);
}

static int join_until(struct __pthread *thread, void **result, uint64_t deadline) {
  if (thread == coop_self) return EDEADLK;
  if (thread->detached || thread->has_joiner) return EINVAL;
  thread->has_joiner = true;
  while (!thread->exited)
    if (!coop_park(&thread->joiners, deadline, NULL)) {
      thread->has_joiner = false;
      return ETIMEDOUT;
    }
  collect(thread, result);
  return 0;
}

int pthread_join(pthread_t thread, void **result) {
  return join_until(thread, result, COOP_FOREVER);
}

int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *time) {
  uint64_t deadline;
  int error = coop_deadline(CLOCK_REALTIME, time, &deadline);
  return error ? error : join_until(thread, result, deadline);
}

int pthread_tryjoin_np(pthread_t thread, void **result) {
  return thread->exited ? join_until(thread, result, COOP_FOREVER) : EBUSY;
}

int pthread_detach(pthread_t thread) {
  if (thread->detached || thread->has_joiner) return EINVAL;
  thread->detached = true;
  if (thread->exited) release(thread);
  return 0;
}

// ---- Being asked

pthread_t pthread_self(void) { return coop_self; }

#undef pthread_equal
int pthread_equal(pthread_t a, pthread_t b) { return a == b; }

int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes) {
  pthread_attr_init(attributes);
  pthread_attr_setdetachstate(attributes, thread->detached ? PTHREAD_CREATE_DETACHED
                                                           : PTHREAD_CREATE_JOINABLE);
  // Of the fiber it stands on: CPython measures by it how deep it is.
  const struct coop_fiber *fiber = thread->fiber;
  if (fiber->stack) return pthread_attr_setstack(attributes, fiber->stack, fiber->stack_size);
  pthread_attr_setguardsize(attributes, 0);
  return pthread_attr_setstack(attributes, &__stack_low, &__stack_high - &__stack_low);
}

int pthread_setname_np(pthread_t thread, const char *name) {
  if (strlen(name) >= sizeof thread->name) return ERANGE;
  strcpy(thread->name, name);
  return 0;
}

int pthread_getname_np(pthread_t thread, char *name, size_t size) {
  if (strlen(thread->name) >= size) return ERANGE;
  strcpy(name, thread->name);
  return 0;
}

void coop_forget_key(pthread_key_t key) {
  for (struct __pthread *thread = &coop_main_thread; thread; thread = thread->all_next)
    thread->values[key] = NULL;
}
