// Shadow stacks: where a thread keeps the C objects whose address is taken. (Return addresses and plain
// locals are on the host's own stack of the fiber, out of the guest's reach.)
//
// Linear memory has no guard pages. Below each stack lies a guard of known words instead, looked at on
// every switch: an overrun is found late, but it is found, and ends the program with a message.
#include "coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void coop_set_stack_pointer(uint32_t);

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

void *coop_stack_new(size_t size) {
  void *stack;
  if (size == __default_stacksize && cached_count)
    stack = cached[--cached_count];
  else
    stack = aligned_alloc(16, size);
  if (stack) coop_stack_arm(stack);
  return stack;
}

void coop_stack_free(void *stack, size_t size) {
  if (size == __default_stacksize && cached_count < CACHED_STACKS)
    cached[cached_count++] = stack;
  else
    free(stack);
}

void coop_stack_arm(void *stack) {
  uint64_t *guard = stack;
  for (int i = 0; i < GUARD_WORDS; i++) guard[i] = GUARD;
}

static _Noreturn void overrun(const struct __pthread *thread) {
  fprintf(stderr,
          "pywasm: thread \"%s\" ran over the end of its %zu KiB stack; give it a larger one "
          "(threading.stack_size or pthread_attr_setstacksize)\n",
          thread->name, thread->stack_size / 1024);
  abort();
}

void coop_stack_check(const struct __pthread *thread, uintptr_t stack_pointer) {
  if (!thread->stack) return;  // the main stack ends at address 0: running over it traps
  const uint64_t *guard = thread->stack;
  uint64_t damage = 0;
  for (int i = 0; i < GUARD_WORDS; i++) damage |= guard[i] ^ GUARD;
  if (!damage && stack_pointer >= (uintptr_t)(guard + GUARD_WORDS)) return;
  // There is no room left to report from.
  static _Alignas(16) char emergency[16384];
  coop_set_stack_pointer((uint32_t)(uintptr_t)(emergency + sizeof emergency));
  overrun(thread);
}
