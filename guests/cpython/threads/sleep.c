// Sleeping needs no help from the host as long as other threads have something to do.
#include "coop.h"

#include <errno.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                    struct timespec *remaining) {
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
  while (coop_park_interruptibly(NULL, deadline, NULL)) {
    if (!coop_self->interrupted) continue;
    uint64_t now = coop_now(), left = deadline > now ? deadline - now : 0;
    if (remaining) *remaining = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    return EINTR;
  }
  return 0;
}
