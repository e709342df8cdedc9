// The standard streams, and C's FILE.
#include "descriptor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

// libc leaves the whole struct zero; programs ask what their output is.
static int stdio_fstat(void *data, struct stat *status) {
  struct description *d = description_called();
  int result = d->libc->fstat(data, status);
  if (result == 0) status->st_mode = d->libc->isatty(data) ? S_IFCHR | 0620 : S_IFIFO | 0600;
  return result;
}

// libc knows of no non-blocking mode for these; io.c does.
static int stdio_set_blocking(void *data, bool blocking) {
  (void)data;
  description_called()->nonblocking = !blocking;
  return 0;
}

static int stdio_fcntl_getfl(void *data) {
  struct description *d = description_called();
  return d->libc->fcntl_getfl(data) | (d->nonblocking ? O_NONBLOCK : 0);
}

static int stdio_fcntl_setfl(void *data, int flags) { return stdio_set_blocking(data, !(flags & O_NONBLOCK)); }

void stdio_adopt(struct description *d) {
  static struct vtable ours;
  if (!ours.free) {
    ours = *d->libc;
    ours.fstat = stdio_fstat;
    ours.set_blocking = stdio_set_blocking;
    ours.fcntl_getfl = stdio_fcntl_getfl;
    ours.fcntl_setfl = stdio_fcntl_setfl;
  }
  d->entry.vtable = &ours;
}

// This libc's FILE has no lock: a thread that parked half-way through a write would leave its buffer to the
// next one in an undefined state. While a FILE is being written nobody else runs.
extern size_t __real___stdio_write(FILE *, const unsigned char *, size_t);

size_t __wrap___stdio_write(FILE *file, const unsigned char *data, size_t size) {
  coop_hold();
  size_t written = __real___stdio_write(file, data, size);
  coop_release();
  return written;
}
