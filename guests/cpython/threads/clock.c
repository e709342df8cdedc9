// Time for the scheduler: nanoseconds on the monotonic clock, saturating.
#include "coop.h"

#include <errno.h>

static const uint64_t NS_PER_S = 1000000000;

uint64_t coop_now(void) { return monotonic_clock_now(); }

uint64_t coop_after(uint64_t nanoseconds) {
  uint64_t deadline;
  return __builtin_add_overflow(coop_now(), nanoseconds, &deadline) ? COOP_FOREVER : deadline;
}

// Nanoseconds of a time that is valid and not negative; what does not fit is for ever.
static uint64_t nanoseconds(const struct timespec *time) {
  uint64_t ns;
  if (__builtin_mul_overflow((uint64_t)time->tv_sec, NS_PER_S, &ns) ||
      __builtin_add_overflow(ns, (uint64_t)time->tv_nsec, &ns))
    return COOP_FOREVER;
  return ns;
}

int coop_deadline(clockid_t clock, const struct timespec *time, uint64_t *deadline) {
  if (time->tv_nsec < 0 || (uint64_t)time->tv_nsec >= NS_PER_S) return EINVAL;
  if (time->tv_sec < 0) {
    *deadline = 0;
    return 0;
  }
  *deadline = nanoseconds(time);
  if (clock == CLOCK_MONOTONIC || *deadline == COOP_FOREVER) return 0;
  // Any other clock is wall-clock time: what is left of it, counted from now. A later change of the
  // wall clock does not move the deadline.
  struct timespec wall;
  if (clock_gettime(clock, &wall) != 0) return EINVAL;
  uint64_t now = nanoseconds(&wall);
  *deadline = *deadline <= now ? 0 : coop_after(*deadline - now);
  return 0;
}
