// Socket options that are kept here, for sockets and pairs alike.
#include "descriptor.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>

int give_option(void *value, socklen_t *size, const void *source, socklen_t full) {
  memcpy(value, source, *size < full ? *size : full);
  if (*size > full) *size = full;
  return 0;
}

int give_number(void *value, socklen_t *size, int source) {
  return give_option(value, size, &source, sizeof source);
}

int get_timeout(uint64_t timeout, void *value, socklen_t *size) {
  struct timeval time = {timeout / 1000000000, timeout % 1000000000 / 1000};
  return give_option(value, size, &time, sizeof time);
}

int set_timeout(uint64_t *timeout, const void *value, socklen_t size) {
  struct timeval time;
  if (size < sizeof time) return fail(EINVAL);
  memcpy(&time, value, sizeof time);
  if (time.tv_sec < 0 || time.tv_usec < 0 || time.tv_usec >= 1000000) return fail(EDOM);
  // What does not fit is for ever; half of it, so that the microseconds cannot overflow either.
  if (__builtin_mul_overflow((uint64_t)time.tv_sec, 1000000000u, timeout)) *timeout = COOP_FOREVER / 2;
  *timeout += (uint64_t)time.tv_usec * 1000;
  return 0;
}
