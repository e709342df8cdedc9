// Who runs when: timeouts, fairness, the tick, thread-locals across switches.
#include "ctest.h"

#include <sched.h>
#include <unistd.h>

static void sleeping_lets_others_run(void) {
  heart_start();
  uint64_t began = now_ms();
  sleep_ms(200);
  CHECK(now_ms() - began >= 199);
  CHECK(heart_beats >= 1);
  heart_stop();
}

static void *sleep_for(void *ms) {
  sleep_ms((int)(intptr_t)ms);
  return (void *)(uintptr_t)now_ms();
}

static void sleepers_wake_in_order(void) {
  static const int lengths[] = {60, 20, 40, 80, 10};
  pthread_t threads[5];
  uint64_t woken[5], began = now_ms();
  for (int i = 0; i < 5; i++) threads[i] = start(sleep_for, (void *)(intptr_t)lengths[i]);
  for (int i = 0; i < 5; i++) woken[i] = (uintptr_t)join(threads[i]);
  for (int i = 0; i < 5; i++) CHECK(woken[i] - began >= (uint64_t)lengths[i] - 1);
  CHECK(woken[4] <= woken[1] && woken[1] <= woken[2] && woken[2] <= woken[0] && woken[0] <= woken[3]);
}

static void many_timers(void) {
  static pthread_t threads[300];
  for (int i = 0; i < 300; i++) threads[i] = start(sleep_for, (void *)(intptr_t)((i * 7919) % 100));
  for (int i = 0; i < 300; i++) join(threads[i]);
}

static void *wait_for_ever(void *unused) {
  (void)unused;
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  struct timespec far = {INT64_MAX, 999999999};
  pthread_mutex_lock(&mutex);
  CHECK(pthread_cond_timedwait(&cond, &mutex, &far) == 0);
  return NULL;
}

static void far_deadlines(void) {
  start(wait_for_ever, NULL);
  struct timespec negative = {-1, 0}, bad = {0, -1}, past = {-100, 0};
  sched_yield();
  CHECK(nanosleep(&negative, NULL) == -1 && errno == EINVAL);
  CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL) == 0);
  sleep_ms(20);
}

// Like CPython's GIL: who wants it waits 5 ms at a time, then asks again. Time-outs must not cost the turn.
static struct {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool held, wanted;
} gil = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
static bool stop;

static void gil_take(void) {
  pthread_mutex_lock(&gil.mutex);
  while (gil.held) {
    struct timespec time = after_ms(CLOCK_REALTIME, 5);
    if (pthread_cond_timedwait(&gil.cond, &gil.mutex, &time) == ETIMEDOUT) gil.wanted = true;
  }
  gil.held = true;
  gil.wanted = false;
  pthread_mutex_unlock(&gil.mutex);
}

static void gil_drop(void) {
  pthread_mutex_lock(&gil.mutex);
  gil.held = false;
  pthread_cond_signal(&gil.cond);
  pthread_mutex_unlock(&gil.mutex);
}

static void *compute(void *turns) {
  gil_take();
  while (!stop) {
    coop_tick(5000000);
    if (gil.wanted) {
      gil_drop();
      coop_yield();
      gil_take();
      ++*(unsigned *)turns;
    }
  }
  gil_drop();
  return NULL;
}

static void timed_waiters_are_served(void) {
  pthread_t threads[4];
  unsigned turns[4] = {0};
  for (int i = 0; i < 4; i++) threads[i] = start(compute, &turns[i]);
  for (int i = 0; i < 4; i++)
    while (turns[i] < 3) sleep_ms(5);
  stop = true;
  for (int i = 0; i < 4; i++) join(threads[i]);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *greedy(void *rounds) {
  for (; !stop; ++*(unsigned *)rounds) {
    pthread_mutex_lock(&mutex);
    sched_yield();
    pthread_mutex_unlock(&mutex);  // and straight back for it
  }
  return NULL;
}

static void mutex_is_fair(void) {
  pthread_t threads[3];
  unsigned rounds[3] = {0};
  for (int i = 0; i < 3; i++) threads[i] = start(greedy, &rounds[i]);
  sleep_ms(50);
  stop = true;
  for (int i = 0; i < 3; i++) join(threads[i]);
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++) CHECK(rounds[i] + 2 >= rounds[k]);
}

static void *yield_all_the_time(void *unused) {
  (void)unused;
  while (!stop) sched_yield();
  return NULL;
}

static void busy_threads_do_not_starve_timers(void) {
  pthread_t one = start(yield_all_the_time, NULL), two = start(yield_all_the_time, NULL);
  heart_start();
  while (heart_beats < 5) sleep_ms(5);  // counts beats, not time: a busy machine delays them, starving them hangs the case
  stop = true;
  join(one);
  join(two);
  heart_stop();
}

static void tick_gives_turns(void) {
  heart_start();
  while (heart_beats < 5) coop_tick(5000000);
  heart_stop();
}

static void *keep_errno(void *value) {
  for (int i = 0; i < 50; i++) {
    errno = (int)(intptr_t)value;
    sched_yield();
    CHECK(errno == (int)(intptr_t)value);
  }
  return NULL;
}

static void errno_is_per_thread(void) {
  pthread_t one = start(keep_errno, (void *)1), two = start(keep_errno, (void *)2);
  join(one);
  join(two);
}

const struct test_case schedule_cases[] = {
    {.name = "sleeping_lets_others_run", .run = sleeping_lets_others_run},
    {.name = "sleepers_wake_in_order", .run = sleepers_wake_in_order},
    {.name = "many_timers", .run = many_timers},
    {.name = "far_deadlines", .run = far_deadlines},
    {.name = "timed_waiters_are_served", .run = timed_waiters_are_served},
    {.name = "mutex_is_fair", .run = mutex_is_fair},
    {.name = "busy_threads_do_not_starve_timers", .run = busy_threads_do_not_starve_timers},
    {.name = "tick_gives_turns", .run = tick_gives_turns},
    {.name = "errno_is_per_thread", .run = errno_is_per_thread},
    {0},
};
