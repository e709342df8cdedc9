// Sleeping needs no help from the host as long as other threads have something to do.
#include "coop.h"

#include <errno.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                    struct timespec *remaining) {
  (void)remaining;  // no signal can cut the sleep short
  uint64_t deadline;
  if (flags & TIMER_ABSTIME) {
    int error = coop_deadline(clock, request, &deadline);
    if (error) return error;
  } else {
    // A length is a time since 0 on a clock that started now.
    int error = coop_deadline(CLOCK_MONOTONIC, request, &deadline);
    if (error || request->tv_sec < 0) return EINVAL;
    if (deadline != COOP_FOREVER) deadline = coop_after(deadline);
  }
  while (coop_park(NULL, deadline, NULL)) {
  }
  return 0;
}
