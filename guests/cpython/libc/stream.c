// Pipes between processes: streams of the host's, behind the same calls as pairs (pair.c), which become these when one
// of their ends is passed on.
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct stream_end {
  streams_own_input_stream_t in;  // 0 = none
  streams_own_output_stream_t out;
  poll_own_pollable_t readable, writable, abandoned;  // made when first asked for
};

static const struct vtable stream_vtable;

bool is_stream(const struct description *d) { return d->entry.vtable == &stream_vtable; }

bool stream_vtable_for(struct entry *entry, int32_t reader, int32_t writer) {
  struct stream_end *end = calloc(1, sizeof *end);
  if (!end) return false;
  if (reader >= 0) end->in.__handle = reader;
  if (writer >= 0) end->out.__handle = writer;
  *entry = (struct entry){end, &stream_vtable};
  return true;
}

int stream_new(int32_t reader, int32_t writer) {
  struct entry entry;
  if (!stream_vtable_for(&entry, reader, writer)) return fail(ENOMEM);
  struct description *d = description_new(entry.data, entry.vtable);
  return d ? descriptor_new(d, 0) : -1;
}

short stream_directions(const struct description *d) {
  const struct stream_end *end = d->entry.data;
  return (end->in.__handle ? POLLIN : 0) | (end->out.__handle ? POLLOUT : 0);
}

poll_borrow_pollable_t stream_abandoned(const struct description *d) {
  struct stream_end *end = d->entry.data;
  if (!end->abandoned.__handle) end->abandoned = process_pipe_abandoned(end->out.__handle);
  return poll_borrow_pollable(end->abandoned);
}

void stream_lend(const struct description *d, struct passed *passed) {
  const struct stream_end *end = d->entry.data;
  if (end->in.__handle && end->out.__handle) {
    passed->source = SOURCE_BOTH;
    passed->both.reader = end->in.__handle;
    passed->both.writer = end->out.__handle;
  } else if (end->in.__handle) {
    passed->source = SOURCE_READER;
    passed->reader = end->in.__handle;
  } else {
    passed->source = SOURCE_WRITER;
    passed->writer = end->out.__handle;
  }
}

static void stop_reading(struct stream_end *end) {
  if (end->readable.__handle) poll_pollable_drop_own(end->readable);
  if (end->in.__handle) streams_input_stream_drop_own(end->in);
  end->readable.__handle = end->in.__handle = 0;
}

static void stop_writing(struct stream_end *end) {
  if (end->writable.__handle) poll_pollable_drop_own(end->writable);
  if (end->abandoned.__handle) poll_pollable_drop_own(end->abandoned);
  if (end->out.__handle) streams_output_stream_drop_own(end->out);
  end->writable.__handle = end->abandoned.__handle = end->out.__handle = 0;
}

static void stream_free(void *data) {
  stop_reading(data);
  stop_writing(data);
  free(data);
}

static int stream_get_read(void *data, struct stream_access *access) {
  struct stream_end *end = data;
  if (!end->in.__handle) return fail(EBADF);
  *access = (struct stream_access){.blocking = true, .stream = end->in.__handle, .pollable = &end->readable};
  return 0;
}

static int stream_get_write(void *data, struct stream_access *access) {
  struct stream_end *end = data;
  if (!end->out.__handle) return fail(EBADF);
  *access = (struct stream_access){.blocking = true, .stream = end->out.__handle, .pollable = &end->writable};
  return 0;
}

static int stream_set_blocking(void *data, bool blocking) {
  (void)data;
  description_called()->nonblocking = !blocking;
  return 0;
}

static int stream_fstat(void *data, struct stat *status) {
  const struct stream_end *end = data;
  bool both = end->in.__handle && end->out.__handle;
  *status = (struct stat){.st_mode = (both ? S_IFSOCK : S_IFIFO) | 0600, .st_nlink = 1, .st_blksize = 4096, .st_ino = (uintptr_t)data};
  return 0;
}

static int stream_getfl(void *data) {
  const struct stream_end *end = data;
  return (end->in.__handle ? O_RDONLY : 0) | (end->out.__handle ? O_WRONLY : 0) |
         (description_called()->nonblocking ? O_NONBLOCK : 0);
}

static int stream_setfl(void *data, int flags) { return stream_set_blocking(data, !(flags & O_NONBLOCK)); }

static int stream_shutdown(void *data, int how) {
  if (how & ~SHUT_RDWR || !how) return fail(EINVAL);
  if (how & SHUT_RD) stop_reading(data);
  if (how & SHUT_WR) stop_writing(data);
  return 0;
}

static const struct vtable stream_vtable = {
    .free = stream_free,
    .get_read_stream = stream_get_read,
    .get_write_stream = stream_get_write,
    .set_blocking = stream_set_blocking,
    .fstat = stream_fstat,
    .fcntl_getfl = stream_getfl,
    .fcntl_setfl = stream_setfl,
    .shutdown = stream_shutdown,
};
