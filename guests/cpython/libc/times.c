// What the program has used of a processor: libc's clocks count what it waited, too. And times() in hundredths of a second, as
// sysconf(_SC_CLK_TCK) has it, where libc's are nanoseconds.
#define _WASI_EMULATED_PROCESS_CLOCKS
#include <errno.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>

#include "coop.h"

static const uint64_t NS_PER_S = 1000000000, NS_PER_US = 1000, NS_PER_HUNDREDTH = 10000000;

clock_t clock(void) { return (clock_t)(coop_processor_time() / (NS_PER_S / CLOCKS_PER_SEC)); }

clock_t times(struct tms *used) {
  *used = (struct tms){.tms_utime = (clock_t)(coop_processor_time() / NS_PER_HUNDREDTH)};
  return (clock_t)(coop_now() / NS_PER_HUNDREDTH);
}

// Of other processes nothing is known.
int getrusage(int who, struct rusage *used) {
  if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN) {
    errno = EINVAL;
    return -1;
  }
  uint64_t own = who == RUSAGE_SELF ? coop_processor_time() : 0;
  *used = (struct rusage){.ru_utime = {.tv_sec = own / NS_PER_S, .tv_usec = own % NS_PER_S / NS_PER_US}};
  return 0;
}
