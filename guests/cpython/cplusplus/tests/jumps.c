// Jumps out of calls.
#include "ctest.h"

#include <setjmp.h>

void call_from_c(void (*function)(int), int argument) {
  function(argument);
  CHECK(!"not reached");
}

static jmp_buf place;

__attribute__((noinline)) static void jump_from(int depth, int value) {
  if (depth == 0) longjmp(place, value);
  jump_from(depth - 1, value);
  CHECK(!"not reached");
}

static void jumps_out_of_calls(void) {
  volatile int jumps = 0, seen = 0;
  int value = setjmp(place);
  seen = seen + value;
  jumps = jumps + 1;
  if (jumps <= 5) jump_from(40, jumps);
  CHECK(seen == 1 + 2 + 3 + 4 + 5);
}

static void jumps_with_zero_as_one(void) {
  int value = setjmp(place);
  if (value == 0) jump_from(0, 0);
  CHECK(value == 1);
}

static void jumps_to_the_place_of_the_two(void) {
  jmp_buf outer, inner;
  volatile int seen = 0;
  if (setjmp(outer) == 0) {
    if (setjmp(inner) == 0) longjmp(inner, 1);
    seen = 1;
    longjmp(outer, 1);
  }
  CHECK(seen == 1);
}

static void *jump_in_turns(void *unused) {
  (void)unused;
  for (int i = 1; i < 1000; i++) {
    jmp_buf own;
    int value = setjmp(own);
    if (value == 0) {
      sleep_ms(0);
      longjmp(own, i);
    }
    CHECK(value == i);
  }
  return NULL;
}

static void threads_jump_in_turns(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = start(jump_in_turns, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
}

const struct test_case jump_cases[] = {
    {.name = "jumps_out_of_calls", .run = jumps_out_of_calls},
    {.name = "jumps_with_zero_as_one", .run = jumps_with_zero_as_one},
    {.name = "jumps_to_the_place_of_the_two", .run = jumps_to_the_place_of_the_two},
    {.name = "threads_jump_in_turns", .run = threads_jump_in_turns},
    {0},
};
