// Shadow stacks: where a thread keeps the C objects whose address is taken. (Return addresses and plain
// locals are on the host's own stack of the fiber, out of the guest's reach.)
//
// Linear memory has no guard pages. Below each stack lies a guard of known words instead, looked at before
// every switch: an overrun is found late, but it is found, and ends the program with a message. What the
// check needs does not lie where an overrun goes.
#include "coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_WORDS = 32, CACHED_STACKS = 16 };
static const uint64_t GUARD = 0x5afe57ac5afe57ac;

// libc's own two defaults, which pthread_attr_init() copies. A megabyte is enough for CPython to reach
// its recursion limit in C before the end of the stack; untouched pages of it cost the host nothing.
unsigned __default_stacksize = 1 << 20;
unsigned __default_guardsize = GUARD_WORDS * sizeof(uint64_t);

// A thread per request is common: reuse stacks of the default size. It also keeps small allocations
// from settling in their gaps.
static void *cached[CACHED_STACKS];
static size_t cached_count;

static const uint64_t *guard;  // of the running thread; null for the main one, whose stack ends at address 0

struct __pthread *coop_stack_new(size_t size) {
  void *stack;
  if (size == __default_stacksize && cached_count)
    stack = cached[--cached_count];
  else
    stack = aligned_alloc(16, size + sizeof(struct __pthread));
  if (!stack) return NULL;
  // The thread's own record lies above its stack: an overrun goes the other way.
  struct __pthread *thread = (struct __pthread *)((char *)stack + size);
  memset(thread, 0, sizeof *thread);
  thread->own.stack = stack;
  return thread;
}

void coop_stack_free(struct __pthread *thread) {
  if (thread->own.stack_size == __default_stacksize && cached_count < CACHED_STACKS)
    cached[cached_count++] = thread->own.stack;
  else
    free(thread->own.stack);
}

void coop_stack_arm(void *stack) {
  uint64_t *words = stack;
  for (int i = 0; i < GUARD_WORDS; i++) words[i] = GUARD;
}

void coop_stack_enter(const struct __pthread *thread) { guard = thread->fiber->stack; }

// Straight to the host: the overrun may have gone through malloc's memory and libc's.
static _Noreturn void report(void) {
  static char text[256];
  int length = snprintf(text, sizeof text,
                        "pywasm: thread \"%.15s\" ran over the end of its %zu KiB stack; give it a larger one "
                        "(threading.stack_size or pthread_attr_setstacksize)\n",
                        coop_self->name, coop_self->fiber->stack_size / 1024);
  wasip2_list_u8_t bytes = {(uint8_t *)text, length};
  streams_stream_error_t error;
  stderr_own_output_stream_t stream = stderr_get_stderr();
  streams_method_output_stream_blocking_write_and_flush(streams_borrow_output_stream(stream), &bytes, &error);
  abort();
}

void coop_stack_check(void) {
  if (!guard) return;
  uint64_t damage = 0;
  for (int i = 0; i < GUARD_WORDS; i++) damage |= guard[i] ^ GUARD;
  if (!damage && coop_get_stack_pointer() >= (uintptr_t)(guard + GUARD_WORDS)) return;
  // There is no room left to report from, and reporting must not come back here.
  static _Alignas(16) char emergency[16384];
  guard = NULL;
  coop_set_stack_pointer((uint32_t)(uintptr_t)(emergency + sizeof emergency));
  report();
}
