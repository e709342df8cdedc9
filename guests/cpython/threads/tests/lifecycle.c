// Threads from create to join, keys, once, the cap, stacks.
#include "ctest.h"

#include <sched.h>
#include <semaphore.h>
#include <unistd.h>

static void *give_back(void *argument) { return argument; }

static void join_gives_result(void) {
  CHECK(join(start(give_back, (void *)42)) == (void *)42);
  pthread_t thread = start(give_back, (void *)43);
  sleep_ms(5);  // it has ended before anybody joins
  CHECK(join(thread) == (void *)43);
  CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
  CHECK(coop_live_threads() == 1);
}

static void *sleep_50_ms(void *unused) {
  (void)unused;
  sleep_ms(50);
  return (void *)1;
}

static void *join_it(void *thread) { return (void *)(intptr_t)pthread_join(*(pthread_t *)thread, NULL); }

static void join_variants(void) {
  void *result = NULL;
  pthread_t thread = start(sleep_50_ms, NULL);
  CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
  struct timespec time = after_ms(CLOCK_REALTIME, 10);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == ETIMEDOUT);
  pthread_t other = start(join_it, &thread);
  sched_yield();
  CHECK(pthread_join(thread, NULL) == EINVAL);  // one joiner only
  CHECK(pthread_detach(thread) == EINVAL);
  CHECK(join(other) == 0);
  thread = start(sleep_50_ms, NULL);
  time = after_ms(CLOCK_REALTIME, 2000);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == 0 && result == (void *)1);
}

static bool detached_ran;

static void *note_run(void *unused) {
  (void)unused;
  sleep_ms(5);
  detached_ran = true;
  return NULL;
}

static void detach(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_create(&thread, &attributes, note_run, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == EINVAL);
  sleep_ms(20);
  CHECK(detached_ran && coop_live_threads() == 1);
  thread = start(sleep_50_ms, NULL);
  CHECK(pthread_detach(thread) == 0);
  CHECK(pthread_detach(thread) == EINVAL);
  thread = start(give_back, NULL);
  sleep_ms(80);
  CHECK(pthread_detach(thread) == 0);  // after its end
  CHECK(coop_live_threads() == 1);
}

static void exit_from_the_depth(int depth) {
  if (!depth) pthread_exit((void *)7);
  exit_from_the_depth(depth - 1);
  CHECK(false);
}

static void *exits(void *unused) {
  (void)unused;
  exit_from_the_depth(10);
  return NULL;
}

static void exit_early(void) {
  for (int i = 0; i < 20; i++) CHECK(join(start(exits, NULL)) == (void *)7);
  CHECK(coop_live_threads() == 1);
}

static char cleaned[8];

static void clean(void *letter) { strcat(cleaned, letter); }

static void *leave_with_handlers(void *unused) {
  (void)unused;
  pthread_cleanup_push(clean, "a");
  pthread_cleanup_push(clean, "b");
  pthread_cleanup_push(clean, "x");
  pthread_cleanup_pop(0);
  pthread_cleanup_push(clean, "c");
  pthread_cleanup_pop(1);
  pthread_exit(NULL);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return NULL;
}

static void cleanup_handlers(void) {
  join(start(leave_with_handlers, NULL));
  CHECK(!strcmp(cleaned, "cba"));
}

static void *outlive_main(void *unused) {
  (void)unused;
  sleep_ms(20);
  printf("ok\n");
  return NULL;  // the last thread: the process ends with 0
}

static void main_exits_first(void) {
  start(outlive_main, NULL);
  pthread_exit(NULL);
}

static void exit_with_threads_parked(void) {
  start(sleep_50_ms, NULL);
  sched_yield();
  exit(5);
}

// ---- Keys

static pthread_key_t key_a, key_b;
static char order[64];

static void note(const char *what) { strcat(order, what); }
static void drop_a(void *value) { note("a"), free(value); }

static void drop_b(void *value) {
  note("b");
  if (--*(int *)value > 0) pthread_setspecific(key_b, value);  // another round
}

static void *use_keys(void *rounds) {
  CHECK(pthread_getspecific(key_a) == NULL);
  CHECK(pthread_setspecific(key_a, strdup("mine")) == 0);
  CHECK(pthread_setspecific(key_b, rounds) == 0);
  sched_yield();
  CHECK(!strcmp(pthread_getspecific(key_a), "mine"));
  return NULL;
}

static void keys_and_destructors(void) {
  CHECK(pthread_key_create(&key_a, drop_a) == 0 && pthread_key_create(&key_b, drop_b) == 0);
  CHECK(pthread_setspecific(key_a, "main's") == 0);
  int rounds = 2;
  join(start(use_keys, &rounds));
  CHECK(!strcmp(order, "abb"));
  order[0] = 0;
  rounds = 100;  // never satisfied: the rounds are limited
  join(start(use_keys, &rounds));
  CHECK(!strcmp(order, "abbbb"));
  CHECK(!strcmp(pthread_getspecific(key_a), "main's"));
  CHECK(pthread_key_delete(key_a) == 0 && pthread_key_delete(key_a) == EINVAL);
  pthread_key_t again;
  CHECK(pthread_key_create(&again, NULL) == 0 && pthread_getspecific(again) == NULL);
}

static void keys_run_out(void) {
  pthread_key_t keys[PTHREAD_KEYS_MAX], extra;
  for (int i = 0; i < PTHREAD_KEYS_MAX; i++) CHECK(pthread_key_create(&keys[i], NULL) == 0);
  CHECK(pthread_key_create(&extra, NULL) == EAGAIN);
  CHECK(pthread_key_delete(keys[5]) == 0);
  CHECK(pthread_key_create(&extra, NULL) == 0);
  CHECK(pthread_setspecific(PTHREAD_KEYS_MAX, "") == EINVAL);
}

// ---- Once

static pthread_once_t once_control = PTHREAD_ONCE_INIT;
static int initialised;

static void slow_init(void) {
  sleep_ms(30);
  initialised++;
}

static void *call_once_slowly(void *unused) {
  (void)unused;
  CHECK(pthread_once(&once_control, slow_init) == 0);
  CHECK(initialised == 1);
  return NULL;
}

static void once_blocks(void) {
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(call_once_slowly, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
  CHECK(initialised == 1);
}

// ---- Limits

static sem_t gate;

static void *wait_at_gate(void *unused) {
  (void)unused;
  CHECK(sem_wait(&gate) == 0);
  return NULL;
}

static void thread_cap(void) {
  setenv("PYWASM_MAX_THREADS", "8", 1);
  pthread_t threads[7], extra;
  sem_init(&gate, 0, 0);
  for (int i = 0; i < 7; i++) threads[i] = start(wait_at_gate, NULL);
  CHECK(pthread_create(&extra, NULL, give_back, NULL) == EAGAIN);
  for (int i = 0; i < 7; i++) sem_post(&gate);
  for (int i = 0; i < 7; i++) join(threads[i]);
  CHECK(join(start(give_back, (void *)1)) == (void *)1);
}

// The fiber of a thread that left by pthread_exit() stays, and counts.
static void thread_cap_counts_fibers(void) {
  setenv("PYWASM_MAX_THREADS", "4", 1);
  pthread_t extra;
  for (int i = 0; i < 3; i++) join(start(exits, NULL));
  CHECK(pthread_create(&extra, NULL, give_back, NULL) == EAGAIN);
}

static void thousand_threads(void) {
  sem_init(&gate, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  static pthread_t threads[1000];
  for (int i = 0; i < 1000; i++) CHECK(pthread_create(&threads[i], &attributes, wait_at_gate, NULL) == 0);
  for (int i = 0; i < 1000; i++) sem_post(&gate);
  for (int i = 0; i < 1000; i++) join(threads[i]);
}

static void create_and_join_do_not_leak(void) {
  for (int i = 0; i < 100; i++) join(start(give_back, NULL));
  char *before = sbrk(0);
  for (int i = 0; i < 1000; i++) {
    join(start(give_back, NULL));
    pthread_t thread = start(give_back, NULL);
    pthread_detach(thread);
    sched_yield();
  }
  CHECK((char *)sbrk(0) - before <= 65536);
}

static void no_memory_for_a_stack(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  CHECK(pthread_attr_setstacksize(&attributes, 1u << 30) == 0);
  for (int i = 0; i < 8; i++)
    if (pthread_create(&thread, &attributes, wait_at_gate, NULL) != 0) return;
  CHECK(false);
}

// ---- Stacks

static void *measure_stack(void *wanted) {
  pthread_attr_t attributes;
  void *lowest;
  size_t size, guard;
  char here;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstack(&attributes, &lowest, &size) == 0);
  CHECK(pthread_attr_getguardsize(&attributes, &guard) == 0);
  CHECK(size == *(size_t *)wanted && guard < 4096);
  CHECK(&here > (char *)lowest && &here < (char *)lowest + size);
  return NULL;
}

static void stack_size(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  size_t size = 1 << 20;
  CHECK(join(start(measure_stack, &size)) == NULL);
  for (size = 65536; size <= 8 << 20; size *= 2) {
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, size) == 0);
    CHECK(pthread_create(&thread, &attributes, measure_stack, &size) == 0);
    join(thread);
  }
  static _Alignas(16) char own[100000];
  size = sizeof own;
  CHECK(pthread_attr_setstack(&attributes, own, sizeof own) == 0);
  CHECK(pthread_create(&thread, &attributes, measure_stack, &size) == 0);
  join(thread);
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
}

__attribute__((noinline)) static int descend(int depth) {
  char frame[256];
  memset(frame, depth, sizeof frame);
  __asm__ volatile("" : : "r"(frame) : "memory");
  return depth ? descend(depth - 1) + frame[depth % 256] : 0;
}

static void *descend_far(void *depth) {
  descend((intptr_t)depth);
  sched_yield();
  return NULL;
}

static void deep_recursion(void) {
  pthread_t other = start(descend_far, (void *)3000);
  join(start(descend_far, (void *)3000));  // about 800 KiB of the default 1 MiB
  join(other);
}

__attribute__((noinline)) static char dig(const char *until) {
  char frame[256];
  memset(frame, 1, sizeof frame);
  __asm__ volatile("" : : "r"(frame) : "memory");
  return frame > until ? dig(until) + frame[0] : 0;
}

static void *overrun(void *unused) {
  (void)unused;
  pthread_attr_t attributes;
  void *lowest;
  size_t size;
  pthread_setname_np(pthread_self(), "digger");
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &lowest, &size);
  dig((char *)lowest - 2048);
  sched_yield();
  return NULL;
}

static void stack_overrun_is_found(void) {
  join(start(overrun, NULL));
  CHECK(false);
}

static void names(void) {
  char name[16];
  pthread_t thread = start(sleep_50_ms, NULL);
  CHECK(pthread_setname_np(thread, "worker-1") == 0);
  CHECK(pthread_getname_np(thread, name, sizeof name) == 0 && !strcmp(name, "worker-1"));
  CHECK(pthread_setname_np(thread, "a name that is too long") == ERANGE);
  CHECK(pthread_getname_np(thread, name, 3) == ERANGE);
  join(thread);
}

const struct test_case lifecycle_cases[] = {
    {.name = "join_gives_result", .run = join_gives_result},
    {.name = "join_variants", .run = join_variants},
    {.name = "detach", .run = detach},
    {.name = "exit_early", .run = exit_early},
    {.name = "cleanup_handlers", .run = cleanup_handlers},
    {.name = "main_exits_first", .run = main_exits_first, .expect = "exit 0"},
    {.name = "exit_with_threads_parked", .run = exit_with_threads_parked, .expect = "exit 5"},
    {.name = "keys_and_destructors", .run = keys_and_destructors},
    {.name = "keys_run_out", .run = keys_run_out},
    {.name = "once_blocks", .run = once_blocks},
    {.name = "thread_cap", .run = thread_cap},
    {.name = "thread_cap_counts_fibers", .run = thread_cap_counts_fibers},
    {.name = "thousand_threads", .run = thousand_threads},
    {.name = "create_and_join_do_not_leak", .run = create_and_join_do_not_leak},
    {.name = "no_memory_for_a_stack", .run = no_memory_for_a_stack},
    {.name = "stack_size", .run = stack_size},
    {.name = "deep_recursion", .run = deep_recursion},
    {.name = "stack_overrun_is_found", .run = stack_overrun_is_found, .expect = "abort"},
    {.name = "names", .run = names},
    {0},
};
