// Mutexes, conditions, semaphores, read-write locks, barriers, spin locks, C11.
#include "ctest.h"

#include <sched.h>
#include <semaphore.h>
#include <threads.h>

static pthread_mutex_t mutex_of(int type) {
  pthread_mutex_t mutex;
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  return mutex;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned counter;

static void *count_slowly(void *unused) {
  (void)unused;
  for (int i = 0; i < 100; i++) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    unsigned seen = counter;
    sched_yield();
    counter = seen + 1;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return NULL;
}

static void mutex_excludes(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = start(count_slowly, NULL);
  for (int i = 0; i < 8; i++) join(threads[i]);
  CHECK(counter == 800);
}

static void *try_lock(void *m) { return (void *)(intptr_t)pthread_mutex_trylock(m); }
static void *unlock(void *m) { return (void *)(intptr_t)pthread_mutex_unlock(m); }

static void mutex_normal(void) {
  pthread_mutex_t m = mutex_of(PTHREAD_MUTEX_NORMAL);
  CHECK(pthread_mutex_lock(&m) == 0);
  CHECK(pthread_mutex_trylock(&m) == EBUSY);
  CHECK(join(start(try_lock, &m)) == (void *)EBUSY);
  CHECK(pthread_mutex_destroy(&m) == EBUSY);
  CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(pthread_mutex_destroy(&m) == 0);
}

static void mutex_recursive(void) {
  pthread_mutex_t m = mutex_of(PTHREAD_MUTEX_RECURSIVE);
  for (int i = 0; i < 3; i++) CHECK(pthread_mutex_lock(&m) == 0);
  CHECK(pthread_mutex_trylock(&m) == 0);
  CHECK(join(start(try_lock, &m)) == (void *)EBUSY);
  CHECK(join(start(unlock, &m)) == (void *)EPERM);
  for (int i = 0; i < 4; i++) CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(pthread_mutex_unlock(&m) == EPERM);
  CHECK(join(start(try_lock, &m)) == 0);
}

static void mutex_errorcheck(void) {
  pthread_mutex_t m = mutex_of(PTHREAD_MUTEX_ERRORCHECK);
  CHECK(pthread_mutex_unlock(&m) == EPERM);
  CHECK(pthread_mutex_lock(&m) == 0);
  CHECK(pthread_mutex_lock(&m) == EDEADLK);
  CHECK(join(start(unlock, &m)) == (void *)EPERM);
  CHECK(pthread_mutex_unlock(&m) == 0);
}

static void *lock_for_50_ms(void *m) {
  uint64_t began = now_ms();
  struct timespec time = after_ms(CLOCK_REALTIME, 50);
  int error = pthread_mutex_timedlock(m, &time);
  CHECK(error != ETIMEDOUT || now_ms() - began >= 49);
  return (void *)(intptr_t)error;
}

static void mutex_timed(void) {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  CHECK(pthread_mutex_lock(&m) == 0);
  CHECK(join(start(lock_for_50_ms, &m)) == (void *)ETIMEDOUT);
  pthread_t waiter = start(lock_for_50_ms, &m);
  sleep_ms(10);
  CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(join(waiter) == 0);
  struct timespec bad = {0, 1000000000}, past = {0, 0};
  CHECK(pthread_mutex_trylock(&m) == EBUSY);
  CHECK(pthread_mutex_timedlock(&m, &bad) == EINVAL);
  CHECK(pthread_mutex_timedlock(&m, &past) == ETIMEDOUT);
  CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(pthread_mutex_timedlock(&m, &past) == 0);
}

static unsigned waiting, woken;

static void *wait_for_signal(void *unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  waiting++;
  CHECK(pthread_cond_wait(&cond, &mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  woken++;
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void cond_signal_and_broadcast(void) {
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(wait_for_signal, NULL);
  while (waiting < 5) sched_yield();
  CHECK(pthread_cond_destroy(&cond) == EBUSY);
  CHECK(pthread_cond_signal(&cond) == 0);
  sleep_ms(10);
  CHECK(woken == 1);
  CHECK(pthread_cond_broadcast(&cond) == 0);
  for (int i = 0; i < 5; i++) join(threads[i]);
  CHECK(woken == 5);
  CHECK(pthread_cond_signal(&cond) == 0);
  CHECK(pthread_cond_destroy(&cond) == 0);
}

static void timed_wait_on(clockid_t clock) {
  pthread_condattr_t attributes;
  pthread_cond_t c;
  clockid_t got;
  CHECK(pthread_condattr_init(&attributes) == 0);
  CHECK(pthread_condattr_setclock(&attributes, clock) == 0);
  CHECK(pthread_condattr_getclock(&attributes, &got) == 0);
  CHECK(got == clock);
  CHECK(pthread_cond_init(&c, &attributes) == 0);
  pthread_mutex_lock(&mutex);
  uint64_t began = now_ms();
  struct timespec time = after_ms(clock, 40);
  CHECK(pthread_cond_timedwait(&c, &mutex, &time) == ETIMEDOUT);
  CHECK(now_ms() - began >= 39 && now_ms() - began < 1000);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  pthread_mutex_unlock(&mutex);
}

static void cond_clocks(void) {
  timed_wait_on(CLOCK_REALTIME);
  timed_wait_on(CLOCK_MONOTONIC);
}

static void cond_recursive_mutex(void) {
  pthread_mutex_t m = mutex_of(PTHREAD_MUTEX_RECURSIVE);
  struct timespec time = after_ms(CLOCK_REALTIME, 10);
  pthread_mutex_lock(&m);
  pthread_mutex_lock(&m);
  CHECK(pthread_cond_timedwait(&cond, &m, &time) == ETIMEDOUT);
  CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(pthread_mutex_unlock(&m) == 0);
  CHECK(pthread_mutex_unlock(&m) == EPERM);
  CHECK(pthread_cond_wait(&cond, &m) == EPERM);
}

static void *post_later(void *s) {
  sleep_ms(20);
  CHECK(sem_post(s) == 0);
  return NULL;
}

static void semaphore(void) {
  sem_t s;
  int value;
  CHECK(sem_init(&s, 0, 2) == 0);
  CHECK(sem_wait(&s) == 0 && sem_trywait(&s) == 0);
  CHECK(sem_trywait(&s) == -1 && errno == EAGAIN);
  uint64_t began = now_ms();
  struct timespec time = after_ms(CLOCK_REALTIME, 30);
  CHECK(sem_timedwait(&s, &time) == -1 && errno == ETIMEDOUT);
  CHECK(now_ms() - began >= 29);
  pthread_t poster = start(post_later, &s);
  CHECK(sem_wait(&s) == 0);
  join(poster);
  CHECK(sem_getvalue(&s, &value) == 0 && value == 0);
  CHECK(sem_post(&s) == 0 && sem_getvalue(&s, &value) == 0 && value == 1);
  CHECK(sem_destroy(&s) == 0);
  CHECK(sem_init(&s, 0, INT_MAX) == 0);
  CHECK(sem_post(&s) == -1 && errno == EOVERFLOW);
  CHECK(sem_init(&s, 0, (unsigned)INT_MAX + 1) == -1 && errno == EINVAL);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int readers_inside, most_readers;
static bool writer_inside;

static void *read_it(void *unused) {
  (void)unused;
  CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
  CHECK(!writer_inside);
  if (++readers_inside > most_readers) most_readers = readers_inside;
  sleep_ms(10);
  readers_inside--;
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  return NULL;
}

static void *write_it(void *unused) {
  (void)unused;
  CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
  CHECK(!writer_inside && !readers_inside);
  writer_inside = true;
  sleep_ms(5);
  writer_inside = false;
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  return NULL;
}

static void rwlock_excludes(void) {
  pthread_t threads[12];
  for (int i = 0; i < 12; i++) threads[i] = start(i % 4 == 3 ? write_it : read_it, NULL);
  for (int i = 0; i < 12; i++) join(threads[i]);
  CHECK(most_readers >= 3);
  CHECK(pthread_rwlock_trywrlock(&rwlock) == 0);
  CHECK(pthread_rwlock_tryrdlock(&rwlock) == EBUSY);
  CHECK(pthread_rwlock_wrlock(&rwlock) == EDEADLK);
  CHECK(pthread_rwlock_destroy(&rwlock) == EBUSY);
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  CHECK(pthread_rwlock_unlock(&rwlock) == EPERM);
}

static void *fail_to_get_in(void *unused) {
  (void)unused;
  struct timespec time = after_ms(CLOCK_REALTIME, 20);
  CHECK(pthread_rwlock_timedrdlock(&rwlock, &time) == ETIMEDOUT);
  time = after_ms(CLOCK_REALTIME, 20);
  CHECK(pthread_rwlock_timedwrlock(&rwlock, &time) == ETIMEDOUT);
  return NULL;
}

static void rwlock_timed(void) {
  CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
  join(start(fail_to_get_in, NULL));
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
}

// A thread that reads may read again although a writer waits: no deadlock.
static void rwlock_reads_twice(void) {
  CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
  pthread_t writer = start(write_it, NULL);
  sleep_ms(5);
  CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  join(writer);
}

static pthread_barrier_t the_barrier;
static int arrived, serials;

static void *meet(void *unused) {
  (void)unused;
  for (int round = 1; round <= 10; round++) {
    arrived++;
    int result = pthread_barrier_wait(&the_barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    if (result) serials++;
    CHECK(arrived >= 4 * round);
  }
  return NULL;
}

static void barrier(void) {
  pthread_t threads[4];
  CHECK(pthread_barrier_init(&the_barrier, NULL, 0) == EINVAL);
  CHECK(pthread_barrier_init(&the_barrier, NULL, 4) == 0);
  for (int i = 0; i < 4; i++) threads[i] = start(meet, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  CHECK(serials == 10);
  CHECK(pthread_barrier_destroy(&the_barrier) == 0);
}

static void *take_spin(void *lock) {
  CHECK(pthread_spin_trylock(lock) == EBUSY);
  CHECK(pthread_spin_lock(lock) == 0);
  return NULL;
}

static void spin(void) {
  pthread_spinlock_t lock;
  CHECK(pthread_spin_init(&lock, 0) == 0);
  CHECK(pthread_spin_lock(&lock) == 0);
  pthread_t thread = start(take_spin, (void *)&lock);
  sleep_ms(5);
  CHECK(pthread_spin_unlock(&lock) == 0);
  join(thread);
}

static int c11_main(void *argument) {
  CHECK(thrd_equal(thrd_current(), pthread_self()));
  return *(int *)argument + 1;
}

static int c11_exit(void *unused) {
  (void)unused;
  thrd_exit(77);
}

static void c11(void) {
  thrd_t thread;
  int value = 41, result;
  CHECK(thrd_create(&thread, c11_main, &value) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 42);
  CHECK(thrd_create(&thread, c11_exit, NULL) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 77);
  mtx_t m;
  cnd_t c;
  CHECK(mtx_init(&m, mtx_recursive | mtx_timed) == thrd_success && cnd_init(&c) == thrd_success);
  CHECK(mtx_lock(&m) == thrd_success && mtx_trylock(&m) == thrd_success && mtx_unlock(&m) == thrd_success);
  struct timespec time = after_ms(CLOCK_REALTIME, 5);
  CHECK(cnd_timedwait(&c, &m, &time) == thrd_timedout);
  CHECK(mtx_unlock(&m) == thrd_success);
  tss_t key;
  CHECK(tss_create(&key, NULL) == thrd_success && tss_get(key) == NULL);
  CHECK(tss_set(key, &value) == thrd_success && tss_get(key) == &value);
  tss_delete(key);
  cnd_destroy(&c);
  mtx_destroy(&m);
}

const struct test_case sync_cases[] = {
    {.name = "mutex_excludes", .run = mutex_excludes},
    {.name = "mutex_normal", .run = mutex_normal},
    {.name = "mutex_recursive", .run = mutex_recursive},
    {.name = "mutex_errorcheck", .run = mutex_errorcheck},
    {.name = "mutex_timed", .run = mutex_timed},
    {.name = "cond_signal_and_broadcast", .run = cond_signal_and_broadcast},
    {.name = "cond_clocks", .run = cond_clocks},
    {.name = "cond_recursive_mutex", .run = cond_recursive_mutex},
    {.name = "semaphore", .run = semaphore},
    {.name = "rwlock_excludes", .run = rwlock_excludes},
    {.name = "rwlock_timed", .run = rwlock_timed},
    {.name = "rwlock_reads_twice", .run = rwlock_reads_twice},
    {.name = "barrier", .run = barrier},
    {.name = "spin", .run = spin},
    {.name = "c11", .run = c11},
    {0},
};
