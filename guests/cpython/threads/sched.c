// The scheduler: a run queue, parking, and the switch from one thread to another.
//
// A thread stands on a fiber that the host made for us (component model: thread.new-indirect); the host never
// chooses who runs. Every decision is here and is made only when the running thread parks, yields
// or ends.
#include "coop.h"

#include <errno.h>

// Threads that only wake each other must not keep the ones that wait for the host from running: so many
// switches without a look at the host, and no more.
static const unsigned SWITCHES_PER_PROBE = 64;

__attribute__((weak)) uint32_t *const coop_tls_words[COOP_TLS_WORDS_MAX + 1] = {NULL};

struct __pthread coop_main_thread = {.fiber = &coop_main_thread.own, .state = COOP_RUNNING, .name = "main"};
struct __pthread *coop_self = &coop_main_thread;
struct coop_queue coop_run_queue;
static unsigned switches_since_probe;
static unsigned holds;
static uint64_t turn_began;

// ---- Queues

static void queue_insert_after(struct coop_queue *queue, struct __pthread *place,
                               struct __pthread *thread) {
  thread->previous = place;
  thread->next = place ? place->next : queue->head;
  if (thread->next)
    thread->next->previous = thread;
  else
    queue->tail = thread;
  if (place)
    place->next = thread;
  else
    queue->head = thread;
  thread->queue = queue;
}

void coop_queue_append(struct coop_queue *queue, struct __pthread *thread) {
  queue_insert_after(queue, queue->tail, thread);
}

static void queue_insert_by_ticket(struct coop_queue *queue, struct __pthread *thread) {
  struct __pthread *place = queue->tail;
  while (place && place->ticket > thread->ticket) place = place->previous;
  queue_insert_after(queue, place, thread);
}

static void queue_remove(struct __pthread *thread) {
  struct coop_queue *queue = thread->queue;
  if (!queue) return;
  if (thread->previous)
    thread->previous->next = thread->next;
  else
    queue->head = thread->next;
  if (thread->next)
    thread->next->previous = thread->previous;
  else
    queue->tail = thread->previous;
  thread->queue = NULL;
}

// ---- Waking

void coop_make_ready(struct __pthread *thread) {
  queue_remove(thread);
  coop_timer_remove(thread);
  coop_io_remove(thread);
  thread->state = COOP_READY;
  coop_queue_append(&coop_run_queue, thread);
}

void coop_wake(struct __pthread *thread) {
  if (thread->state == COOP_PARKED) coop_make_ready(thread);
}

struct __pthread *coop_wake_first(struct coop_queue *queue) {
  struct __pthread *thread = queue->head;
  if (thread) coop_make_ready(thread);
  return thread;
}

void coop_wake_all(struct coop_queue *queue) {
  while (coop_wake_first(queue)) {
  }
}

// ---- Switching

void coop_hold(void) { holds++; }
void coop_release(void) { holds--; }
bool coop_alone(void) { return holds || coop_live_threads() == 1; }

static struct __pthread *take_next(void) {
  if (!coop_run_queue.head || ++switches_since_probe >= SWITCHES_PER_PROBE) {
    switches_since_probe = 0;
    do coop_collect_events(!coop_run_queue.head);
    while (!coop_run_queue.head);
  }
  struct __pthread *next = coop_run_queue.head;
  queue_remove(next);
  next->state = COOP_RUNNING;
  return next;
}

static void switch_to(struct __pthread *next) {
  struct __pthread *me = coop_self;
  if (next == me) return;
  uint32_t stack_pointer = coop_get_stack_pointer();
  if (!me->fiber->index) me->fiber->index = cm_thread_index();
  me->saved_errno = errno;
  for (int i = 0; coop_tls_words[i]; i++) me->saved_tls[i] = *coop_tls_words[i];
  unsigned held = holds;
  holds = 0;
  coop_self = next;
  cm_thread_suspend_then_resume(next->fiber->index);
  coop_set_stack_pointer(stack_pointer);  // somebody resumed us: coop_self == me again
  coop_stack_enter(me);
  holds = held;
  for (int i = 0; coop_tls_words[i]; i++) *coop_tls_words[i] = me->saved_tls[i];
  errno = me->saved_errno;
  coop_reap();
}

bool coop_park(struct coop_queue *queue, uint64_t deadline, struct coop_io *io) {
  static uint64_t last_ticket;
  struct __pthread *me = coop_self;
  coop_stack_check();
  me->timed_out = false;
  me->state = COOP_PARKED;
  if (queue) {
    // CPython's take_gil waits 5 ms at a time. A waiter that lost its turn by every time-out would never
    // get the GIL from threads that come back for it at once.
    me->ticket = queue == me->kept_queue ? me->kept_ticket : ++last_ticket;
    queue_insert_by_ticket(queue, me);
  }
  if (deadline != COOP_FOREVER) {
    me->deadline = deadline;
    coop_timer_insert(me);
  }
  if (io) {
    me->io = io;
    coop_io_insert(me);
  }
  switch_to(take_next());
  if (queue && me->timed_out) {
    me->kept_queue = queue;
    me->kept_ticket = me->ticket;
  } else if (queue == me->kept_queue) {
    me->kept_queue = NULL;
  }
  coop_signal_deliver();
  return !me->timed_out;
}

struct __pthread *coop_elect_successor(void) {
  struct __pthread *next = take_next();
  coop_self = next;
  return next;
}

_Noreturn void coop_park_dead(void) {
  for (;;) switch_to(take_next());
}

void coop_yield(void) {
  coop_stack_check();
  if (!coop_run_queue.head) coop_collect_events(false);
  if (!coop_run_queue.head) return;
  coop_self->state = COOP_READY;
  coop_queue_append(&coop_run_queue, coop_self);
  switch_to(take_next());
}

int sched_yield(void) {
  coop_yield();
  return 0;
}

bool coop_tick(uint64_t slice) {
  uint64_t now = coop_now();
  if (now - turn_began < slice) return false;
  coop_collect_events(false);
  coop_yield();
  coop_signal_deliver();
  turn_began = coop_now();
  return true;
}

void coop_enter(void) {
  coop_main_thread.own.index = 0;
  turn_began = 0;
  coop_reset_processor_time();
  coop_reset_thread_limit();
}
