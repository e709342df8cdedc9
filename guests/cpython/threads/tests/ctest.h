// A C test case: a function that returns if all is well. See main.c for how they are run.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coop.h"
#include "posix.h"

struct test_case {
  const char *name;
  void (*run)(void);
  // What should happen; the default is "ok". "exit N": the program ends with N. "abort": it traps.
  const char *expect;
  // What the host must do: "stdin": write "late\n" to stdin 300 ms after the start and close it.
  const char *needs;
};

// Each file of cases ends with one of these tables, closed by an empty entry.
extern const struct test_case sync_cases[], lifecycle_cases[], schedule_cases[], blocking_cases[], descriptor_cases[],
    pair_cases[], socket_cases[], process_cases[], zone_cases[], fiber_cases[], exception_cases[], jump_cases[];

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) \
  do { \
    if (!(expression)) check_failed(#expression, __FILE_NAME__, __LINE__); \
  } while (0)

static inline uint64_t now_ms(void) { return coop_now() / 1000000; }

static inline struct timespec after_ms(clockid_t clock, int ms) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += ms / 1000;
  time.tv_nsec += ms % 1000 * 1000000;
  if (time.tv_nsec >= 1000000000) time.tv_sec++, time.tv_nsec -= 1000000000;
  return time;
}

static inline void sleep_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  CHECK(nanosleep(&time, NULL) == 0);
}

static inline pthread_t start(void *(*function)(void *), void *argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, function, argument) == 0);
  return thread;
}

static inline void *join(pthread_t thread) {
  void *result;
  CHECK(pthread_join(thread, &result) == 0);
  return result;
}

// A heart beats every 5 ms in a thread of its own: proof that others run meanwhile.
extern unsigned heart_beats;
void heart_start(void);
void heart_stop(void);
