#include "fiber.h"

#include <stdlib.h>

#include "coop.h"

void coop_fiber_entry(void *);

// Half of a thread's: there may be many, and each is memory of the guest's.
enum { STACK_SIZE = 512 * 1024 };

struct made {
  struct coop_fiber fiber;  // first: read by switch.S
  struct coop_fiber *(*body)(void *);
  void *argument;
};

static void *ended;  // the stack of a fiber that has ended but still stood on it

static void reap(void) {
  free(ended);
  ended = NULL;
}

struct coop_fiber *coop_fiber_new(struct coop_fiber *(*body)(void *), void *argument) {
  if (!coop_count_fiber()) return NULL;
  // Its record lies above the stack: an overrun goes the other way.
  char *stack = aligned_alloc(16, STACK_SIZE + sizeof(struct made));
  if (!stack) {
    coop_uncount_fiber();
    return NULL;
  }
  coop_stack_arm(stack);
  struct made *made = (struct made *)(stack + STACK_SIZE);
  *made = (struct made){
      .fiber = {.stack_top = (uint32_t)(uintptr_t)made, .stack = stack, .stack_size = STACK_SIZE},
      .body = body,
      .argument = argument,
  };
  made->fiber.index = cm_thread_new(coop_fiber_entry, made);
  return &made->fiber;
}

struct coop_fiber *coop_fiber_current(void) { return coop_self->fiber; }

void coop_fiber_switch(struct coop_fiber *to) {
  struct __pthread *me = coop_self;
  if (to == me->fiber) return;
  coop_stack_check();
  uint32_t stack_pointer = coop_get_stack_pointer();
  if (!me->fiber->index) me->fiber->index = cm_thread_index();
  me->fiber = to;
  cm_thread_suspend_then_resume(to->index);
  coop_set_stack_pointer(stack_pointer);  // somebody came back: coop_self == me, as before
  coop_stack_enter(me);
  reap();
}

// Called by switch.S on the new fiber's own stack.
__attribute__((used)) void coop_fiber_main(struct made *made) {
  coop_stack_enter(coop_self);
  reap();
  struct coop_fiber *next = made->body(made->argument);
  coop_stack_check();
  coop_uncount_fiber();
  ended = made->fiber.stack;
  coop_self->fiber = next;
  // The host's fiber ends when this function returns; it then resumes the one named here.
  cm_thread_resume_later(next->index);
}
