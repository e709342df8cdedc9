// Waiting for the host: the one place where the whole instance sleeps.
//
// When no thread can run, a single wasi:io poll covers the pollables of all parked threads and the
// earliest deadline.
#include "coop.h"

#include <stdlib.h>
#include <string.h>

extern void __real_poll_method_pollable_block(poll_borrow_pollable_t);
extern void __real_poll_poll(poll_list_borrow_pollable_t *, wasip2_list_u32_t *);

static uint64_t asleep;  // nanoseconds that the whole instance has slept

static struct __pthread *io_threads;  // parked threads with pollables
static size_t awaited;                // how many pollables those are
enum { FIRST_CAPACITY = 64 };
static poll_borrow_pollable_t first_scratch[FIRST_CAPACITY];
static poll_borrow_pollable_t *scratch = first_scratch;  // holds nothing between two calls
static size_t capacity = FIRST_CAPACITY;

void coop_host_poll(poll_list_borrow_pollable_t *in, wasip2_list_u32_t *out) {
  uint64_t began = coop_now();
  __real_poll_poll(in, out);
  asleep += coop_now() - began;
}

void coop_host_block(poll_borrow_pollable_t pollable) {
  uint64_t began = coop_now();
  __real_poll_method_pollable_block(pollable);
  asleep += coop_now() - began;
}

uint64_t coop_processor_time(void) { return coop_now() - asleep; }

void coop_reset_processor_time(void) { asleep = 0; }

bool coop_reserve_io(size_t count) {
  size_t wanted = awaited + count + coop_live_threads() + 2;  // each thread's own one, the signals', the timer's
  if (wanted <= capacity) return true;
  poll_borrow_pollable_t *larger = malloc(wanted * 2 * sizeof *larger);
  if (!larger) return false;
  if (scratch != first_scratch) free(scratch);
  scratch = larger;
  capacity = wanted * 2;
  return true;
}

void coop_io_insert(struct __pthread *thread) {
  thread->io_previous = NULL;
  thread->io_next = io_threads;
  if (io_threads) io_threads->io_previous = thread;
  io_threads = thread;
  awaited += thread->io->count;
}

void coop_io_remove(struct __pthread *thread) {
  if (!thread->io) return;
  if (thread->io_previous)
    thread->io_previous->io_next = thread->io_next;
  else
    io_threads = thread->io_next;
  if (thread->io_next) thread->io_next->io_previous = thread->io_previous;
  awaited -= thread->io->count;
  thread->io = NULL;
}

static void expire_deadlines(uint64_t now) {
  struct __pthread *first = coop_timer_first();
  for (; first && first->deadline <= now; first = coop_timer_first()) {
    first->timed_out = true;
    coop_make_ready(first);
  }
}

// Wait until a pollable is ready, a signal arrives or the time of `alarm` has come, and note all that are.
static void wait_for_pollables(const poll_own_pollable_t *alarm) {
  size_t count = 0;
  for (struct __pthread *thread = io_threads; thread; thread = thread->io_next) {
    memcpy(scratch + count, thread->io->pollables, thread->io->count * sizeof *scratch);
    count += thread->io->count;
  }
  size_t signal = count;
  scratch[count++] = coop_signal_pollable();
  if (alarm) scratch[count++] = poll_borrow_pollable(*alarm);

  poll_list_borrow_pollable_t in = {scratch, count};
  wasip2_list_u32_t out;
  coop_host_poll(&in, &out);
  // The host reports positions in no promised order: sort them out through the scratch array, which
  // has served its purpose as input.
  memset(scratch, 0, count * sizeof *scratch);
  for (size_t i = 0; i < out.len; i++) scratch[out.ptr[i]].__handle = 1;
  wasip2_list_u32_free(&out);
  size_t position = 0;
  for (struct __pthread *thread = io_threads, *next; thread; thread = next) {
    next = thread->io_next;
    bool any = false;
    for (size_t i = 0; i < thread->io->count; i++)
      any |= thread->io->ready[i] = scratch[position++].__handle;
    if (any) coop_make_ready(thread);
  }
  if (scratch[signal].__handle) coop_signal_look();
}

static void wait_until(poll_own_pollable_t alarm) {
  wait_for_pollables(&alarm);
  poll_pollable_drop_own(alarm);
}

// Looking at the host costs microseconds, and more with each pollable: no need to do it more often than this.
static const uint64_t PROBE_INTERVAL = 1000000;

void coop_collect_events(bool block) {
  static uint64_t last_probe;
  uint64_t now = coop_now();
  expire_deadlines(now);
  if (!block || coop_run_queue.head) {
    // The difference also holds when a snapshot was resumed on a machine whose clock is behind.
    if (now - last_probe < PROBE_INTERVAL) return;
    last_probe = now;
    coop_signal_look();
    if (!io_threads) return;
    // Not pollable.ready(): a host that drives its sockets from an event loop learns of nothing until we
    // let that loop run, and a wait of length zero is how wasi:io says so.
    wait_until(monotonic_clock_subscribe_duration(0));
    return;
  }
  struct __pthread *first = coop_timer_first();
  uint64_t deadline = coop_signal_alarm();
  if (first && first->deadline < deadline) deadline = first->deadline;
  if (deadline != COOP_FOREVER) {
    wait_until(monotonic_clock_subscribe_instant(deadline));
    expire_deadlines(coop_now());
    coop_signal_look();
  } else {
    // If no thread waits for the host, they wait for each other and always will. A native process would hang, idle,
    // until somebody sends it a signal; so do we.
    wait_for_pollables(NULL);
  }
}
