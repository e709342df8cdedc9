// Fibers: one thread on several stacks.
#include "fiber.h"

#include "ctest.h"

static struct coop_fiber *home, *away;
static int steps;

// Takes turns with whoever started it, and ends by going on at home.
static struct coop_fiber *take_turns(void *argument) {
  int own[64];  // on this fiber's stack: stays as it is while others run
  for (int i = 0; i < 64; i++) own[i] = i ^ (int)(intptr_t)argument;
  while (++steps < 1000) coop_fiber_switch(home);
  for (int i = 0; i < 64; i++) CHECK(own[i] == (i ^ (int)(intptr_t)argument));
  return home;
}

static void turns(void) {
  pthread_t self = pthread_self();
  home = coop_fiber_current();
  away = coop_fiber_new(take_turns, (void *)77);
  CHECK(away);
  int seen = 0;
  while (steps < 1000) {
    coop_fiber_switch(away);
    CHECK(steps == ++seen && coop_fiber_current() == home && pthread_self() == self);
  }
  CHECK(coop_live_threads() == 1);
}

static pthread_key_t key;

static struct coop_fiber *look_at_the_thread(void *thread) {
  CHECK(pthread_self() == thread);
  CHECK(pthread_getspecific(key) == (void *)5);
  pthread_attr_t attributes;
  void *stack;
  size_t size;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0 && pthread_attr_getstack(&attributes, &stack, &size) == 0);
  CHECK((char *)stack < (char *)&stack && (char *)&stack < (char *)stack + size);
  heart_start();
  sleep_ms(50);  // the thread sleeps on this fiber, and goes on on it
  heart_stop();
  CHECK(heart_beats >= 3);
  errno = ENOTDIR;
  return home;
}

static void the_thread_stays_the_same(void) {
  CHECK(pthread_key_create(&key, NULL) == 0 && pthread_setspecific(key, (void *)5) == 0);
  home = coop_fiber_current();
  coop_fiber_switch(coop_fiber_new(look_at_the_thread, pthread_self()));
  CHECK(errno == ENOTDIR);
}

static struct coop_fiber *end(void *next) { return next; }

static struct coop_fiber *pass_on(void *chain) {
  int left = (int)(intptr_t)chain;
  steps++;
  return left ? coop_fiber_new(pass_on, (void *)(intptr_t)(left - 1)) : home;
}

// Each ends by going on on one that has not begun.
static void chain(void) {
  home = coop_fiber_current();
  steps = 0;
  coop_fiber_switch(coop_fiber_new(pass_on, (void *)500));
  CHECK(steps == 501);
}

static void many_do_not_leak(void) {
  home = coop_fiber_current();
  size_t before = __builtin_wasm_memory_size(0);
  for (int i = 0; i < 5000; i++) {
    struct coop_fiber *fiber = coop_fiber_new(end, home);
    CHECK(fiber);
    coop_fiber_switch(fiber);
  }
  CHECK(__builtin_wasm_memory_size(0) - before < 64);
}

static void *with_fibers(void *unused) {
  (void)unused;
  struct coop_fiber *own = coop_fiber_current();
  for (int i = 0; i < 100; i++) {
    coop_fiber_switch(coop_fiber_new(end, own));
    sleep_ms(1);
    CHECK(coop_fiber_current() == own);
  }
  return (void *)1;
}

static void in_several_threads(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(with_fibers, NULL);
  with_fibers(NULL);
  for (int i = 0; i < 4; i++) CHECK(join(threads[i]) == (void *)1);
  CHECK(coop_live_threads() == 1);
}

// They count as threads do.
static void cap(void) {
  setenv("PYWASM_MAX_THREADS", "10", 1);
  coop_reset_thread_limit();
  home = coop_fiber_current();
  struct coop_fiber *made[9];
  for (int i = 0; i < 9; i++) CHECK((made[i] = coop_fiber_new(end, home)));
  CHECK(!coop_fiber_new(end, home));
  coop_fiber_switch(made[0]);
  CHECK(coop_fiber_new(end, home));
}

static int deep(int depth) {
  volatile char room[1024];
  room[depth & 1023] = (char)depth;
  coop_yield();
  return depth < 100000 ? deep(depth + 1) + room[0] : 0;
}

static struct coop_fiber *overrun(void *unused) {
  (void)unused;
  deep(0);
  return home;
}

static void fiber_overrun_is_found(void) {
  home = coop_fiber_current();
  pthread_t other = start(with_fibers, NULL);  // somebody to yield to
  coop_fiber_switch(coop_fiber_new(overrun, NULL));
  join(other);
}

const struct test_case fiber_cases[] = {
    {.name = "fibers_take_turns", .run = turns},
    {.name = "fibers_are_their_thread", .run = the_thread_stays_the_same},
    {.name = "fibers_in_a_chain", .run = chain},
    {.name = "fibers_do_not_leak", .run = many_do_not_leak},
    {.name = "fibers_in_several_threads", .run = in_several_threads},
    {.name = "fibers_count_as_threads", .run = cap},
    {.name = "fiber_overrun_is_found", .run = fiber_overrun_is_found, .expect = "abort"},
    {0},
};
