// Cooperative threads: the interface between the scheduler (sched.c), the pthread objects built on it
// and the libc replacements in ../libc. Only one thread runs at a time and a thread leaves the
// processor only inside coop_park(), so nothing here needs a lock or an atomic.
#pragma once

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <wasi/wasip2.h>

// A deadline is nanoseconds on the monotonic clock.
#define COOP_FOREVER UINT64_MAX

// Words of `_Thread_local` state saved and restored at every switch. wasm32-wasip2 without atomics
// turns thread-locals into plain globals; a library that keeps one must list its address here.
// The table ends with a null; a program defines it or takes the empty default.
#define COOP_TLS_WORDS_MAX 16
extern uint32_t *const coop_tls_words[COOP_TLS_WORDS_MAX + 1];

// Threads waiting for the same thing, in the order of their tickets.
struct coop_queue {
  struct __pthread *head, *tail;
};

// Host events a thread waits for. `ready[i]` is set for each pollable found ready.
struct coop_io {
  const poll_borrow_pollable_t *pollables;
  size_t count;
  bool *ready;
};

enum coop_state { COOP_RUNNING, COOP_READY, COOP_PARKED, COOP_DEAD };

// What a thread stands on: a stack in linear memory, and the host's own one that goes with it. A thread is made with one, and
// may make itself others (fiber.h).
struct coop_fiber {
  uint32_t stack_top;  // first: read by switch.S
  uint32_t index;      // the component model's name for it; 0 = not asked yet
  void *stack;         // lowest address; null for the main thread's
  size_t stack_size;
};

struct __pthread {
  struct coop_fiber own;     // first: read by switch.S
  struct coop_fiber *fiber;  // the one it stands on: where the scheduler resumes it
  enum coop_state state;

  // While READY: neighbours in the run queue. While PARKED: neighbours in `queue`, if it has one.
  struct coop_queue *queue;
  struct __pthread *next, *previous;
  uint64_t ticket;
  struct coop_queue *kept_queue;  // a timed-out waiter that comes back to this queue ...
  uint64_t kept_ticket;           // ... takes the place it had (sched.c, coop_park)

  uint64_t deadline;
  size_t timer_slot;  // 1-based place in the timer heap; 0 = none
  bool timed_out;
  bool interruptible, interrupted;  // signal.c
  bool wants_to_write;  // rwlock.c
  struct coop_io *io;
  struct __pthread *io_next, *io_previous;

  void *(*start)(void *);
  void *argument, *result;
  bool owns_stack, detached, has_joiner, exited;
  struct coop_queue joiners;
  struct __ptcb *cleanup;  // what pthread_cleanup_push() has pushed
  struct __pthread *all_next, *all_previous;

  int saved_errno;
  uint32_t saved_tls[COOP_TLS_WORDS_MAX];
  void *values[PTHREAD_KEYS_MAX];
  char name[16];
};

// ---- For the embedder (CPython's glue, the reactor's exports)

// Call first in every component export: the host numbers threads anew in each call, and nothing
// cached from before a snapshot (thread index, pollables, clock readings) may be believed.
void coop_enter(void);
// Let go of the host's handles. A snapshot can keep none.
void coop_signal_forget(void);
// Threads that have started and not finished, the main one included. A snapshot needs exactly 1.
unsigned coop_live_threads(void);
// Give others a turn if the running thread has had the processor for `slice` nanoseconds, and tell whether it had.
bool coop_tick(uint64_t slice);
// Does a thread wait for this condition?
bool coop_cond_is_waited_for(const pthread_cond_t *condition);
// Give others a turn now.
void coop_yield(void);

// ---- For blocking calls

extern struct __pthread *coop_self;

// Between these two nobody else runs: a blocking call blocks the whole instance. They nest.
void coop_hold(void);
void coop_release(void);

// Whether a blocking call may block the whole instance: nobody else may run.
bool coop_alone(void);

// Sleep until coop_wake*(), the deadline, or a pollable of `io`. `queue` and `io` may be null.
// Returns false if the deadline came first.
bool coop_park(struct coop_queue *queue, uint64_t deadline, struct coop_io *io);
// The same for calls that a signal ends: when the main thread comes back because it has handled one, its `interrupted`
// is set. Other threads take no signals.
bool coop_park_interruptibly(struct coop_queue *queue, uint64_t deadline, struct coop_io *io);
// Make room for `count` more pollables. Call it right before a coop_park() with more than one: room is kept
// only for what is parked, and one for each thread.
bool coop_reserve_io(size_t count);
// Wake a parked thread wherever it waits. Waking a thread that is not parked does nothing.
void coop_wake(struct __pthread *thread);
// Wake the first in the queue and return it, or null.
struct __pthread *coop_wake_first(struct coop_queue *queue);
void coop_wake_all(struct coop_queue *queue);

uint64_t coop_now(void);
// Nanoseconds since this instance began in which it did not sleep. What the host's kernel gave to other programs meanwhile counts too.
uint64_t coop_processor_time(void);
// now + nanoseconds, saturating at COOP_FOREVER.
uint64_t coop_after(uint64_t nanoseconds);
// An absolute POSIX time as a deadline. Returns 0 or EINVAL.
int coop_deadline(clockid_t clock, const struct timespec *time, uint64_t *deadline);

// ---- Between the files of this directory

// The component model's threads: fibers that the host keeps for us. Which of them runs is ours to say.
#define COOP_INTRINSIC(name) __attribute__((import_module("$root"), import_name(name)))
COOP_INTRINSIC("[thread-index]") uint32_t cm_thread_index(void);
COOP_INTRINSIC("[thread-new-indirect-v0]") uint32_t cm_thread_new(void (*)(void *), void *);
COOP_INTRINSIC("[thread-resume-later]") void cm_thread_resume_later(uint32_t);
COOP_INTRINSIC("[thread-suspend-then-resume]") uint32_t cm_thread_suspend_then_resume(uint32_t);

extern struct __pthread coop_main_thread;
extern struct coop_queue coop_run_queue;

void coop_queue_append(struct coop_queue *queue, struct __pthread *thread);
void coop_make_ready(struct __pthread *thread);
// Hand the processor over at the end of a thread: the one to run next becomes coop_self.
struct __pthread *coop_elect_successor(void);

bool coop_reserve_timers(size_t threads);
void coop_timer_insert(struct __pthread *thread);
void coop_timer_remove(struct __pthread *thread);
struct __pthread *coop_timer_first(void);

void coop_io_insert(struct __pthread *thread);
void coop_io_remove(struct __pthread *thread);
// Wait in the host, for as long as it takes: the two ways in which the whole instance sleeps.
void coop_host_poll(poll_list_borrow_pollable_t *in, wasip2_list_u32_t *out);
void coop_host_block(poll_borrow_pollable_t pollable);
void coop_reset_processor_time(void);
// Make every thread ready whose deadline or host event has come. If none has and `block` is set, wait in
// the host until one has.
void coop_collect_events(bool block);

// Ready when the host has a signal for us.
poll_borrow_pollable_t coop_signal_pollable(void);
// When SIGALRM is due.
uint64_t coop_signal_alarm(void);
// Ask the host for a signal, and wake the main thread if it is to be interrupted.
void coop_signal_look(void);
// Run the handlers of what has arrived, if this is the main thread. Returns whether there was anything.
bool coop_signal_deliver(void);
// Send one to the own process, from any thread: the main thread takes it, whatever it waits for.
int coop_signal_send(int number);

// Free what a detached thread could not free while it still stood on its own stack.
void coop_reap(void);
_Noreturn void coop_park_dead(void);
void coop_reset_thread_limit(void);
// Counts one more fiber, unless that is one too many; and one less.
bool coop_count_fiber(void);
void coop_uncount_fiber(void);
void coop_take_thread_limit(void);

void coop_run_key_destructors(void);
void coop_forget_key(pthread_key_t key);

extern unsigned __default_stacksize;
// A zeroed thread with a stack of its own, which is one piece of memory with it; null without memory.
struct __pthread *coop_stack_new(size_t size);
void coop_stack_free(struct __pthread *thread);
void coop_stack_arm(void *stack);                       // write the guard
void coop_stack_enter(const struct __pthread *thread);  // the thread runs now
void coop_stack_check(void);                            // ends the program if the stack was overrun

uint32_t coop_get_stack_pointer(void);  // switch.S
void coop_set_stack_pointer(uint32_t);
