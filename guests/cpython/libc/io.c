// read() and write(), and their vector forms.
//
// Why not libc's own: they know nothing of pairs, a file closed or moved under a blocked thread traps, the
// vector forms use the first buffer only, and whatever keeps a file from being written is EIO.
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

// A file has one position and one pair of streams, which a seek drops: threads take turns with it, as
// POSIX asks for. A socket's two directions are independent.
static void take_turn(struct operation *operation, struct description *d) {
  operation_begin(operation, d);
  while (d->file_busy) coop_park(&d->file_turn, COOP_FOREVER, NULL);
  d->file_busy = true;
}

static ssize_t end_turn(struct operation *operation, ssize_t result) {
  operation->description->file_busy = false;
  coop_wake_first(&operation->description->file_turn);
  return operation_end(operation, result);
}

ssize_t take_peeked(struct description *d, void *buffer, size_t size, bool keep) {
  if (size > d->peeked_size) size = d->peeked_size;
  memcpy(buffer, d->peeked, size);
  if (keep) return size;
  d->peeked_size -= size;
  memmove(d->peeked, d->peeked + size, d->peeked_size);
  return size;
}

// What is there is taken, and kept for the next read.
int count_readable(struct description *d, int *count) {
  enum { MOST = 4096 };
  const struct vtable *vtable = d->entry.vtable;
  struct stream_access access;
  if (!vtable->get_read_stream || vtable->seek || vtable->recvfrom) return fail(ENOTTY);
  if (!d->peeked_size) {
    char *kept = realloc(d->peeked, MOST);
    if (!kept) return fail(ENOMEM);
    d->peeked = kept;
    if (vtable->get_read_stream(d->entry.data, &access) < 0) return -1;
    access.blocking = false;
    ssize_t taken = __wasilibc_read(&access, kept, MOST);
    if (taken < 0 && errno != EAGAIN) return -1;
    if (taken > 0) d->peeked_size = taken;
  }
  *count = (int)d->peeked_size;
  return 0;
}

static ssize_t read_stream(struct description *d, void *buffer, size_t size) {
  struct stream_access access;
  if (!d->entry.vtable->get_read_stream) return fail(EBADF);
  struct operation operation;
  take_turn(&operation, d);
  ssize_t result = d->entry.vtable->get_read_stream(d->entry.data, &access);
  // Files never keep anybody waiting. The standard streams do, and libc would not let a signal end it.
  bool wait = !d->nonblocking && !d->entry.vtable->seek;
  if (d->nonblocking || wait) access.blocking = false;
  if (result == 0) do
      result = d->peeked_size ? take_peeked(d, buffer, size, false) : __wasilibc_read(&access, buffer, size);
    while (result < 0 && errno == EAGAIN && wait && poll_description(d, POLLIN, COOP_FOREVER) > 0);
  // A stream that has met the end of its file stays there, though the file may grow: the next read takes a new one.
  if (result == 0 && size && d->entry.vtable->seek) d->entry.vtable->close_streams(d->entry.data);
  return end_turn(&operation, result);
}

static int error_of(const streams_stream_error_t *error) {
  if (error->tag == STREAMS_STREAM_ERROR_CLOSED) return EPIPE;
  streams_own_error_t reason = error->val.last_operation_failed;
  filesystem_error_code_t code;
  bool known = filesystem_filesystem_error_code(io_error_borrow_error(reason), &code);
  io_error_error_drop_own(reason);
  if (!known) return EIO;
  switch (code) {
  case FILESYSTEM_ERROR_CODE_ACCESS: return EACCES;
  case FILESYSTEM_ERROR_CODE_FILE_TOO_LARGE: return EFBIG;
  case FILESYSTEM_ERROR_CODE_INSUFFICIENT_MEMORY: return ENOMEM;
  case FILESYSTEM_ERROR_CODE_INSUFFICIENT_SPACE: return ENOSPC;
  case FILESYSTEM_ERROR_CODE_INVALID: return EINVAL;
  case FILESYSTEM_ERROR_CODE_NOT_PERMITTED: return EPERM;
  case FILESYSTEM_ERROR_CODE_PIPE: return EPIPE;
  case FILESYSTEM_ERROR_CODE_QUOTA: return EDQUOT;
  case FILESYSTEM_ERROR_CODE_READ_ONLY: return EROFS;
  default: return EIO;
  }
}

// Files take what they are given at once, and a program hears of a full disk in the call that met it.
static ssize_t write_at_once(int32_t stream, const void *buffer, size_t size) {
  streams_borrow_output_stream_t to = {stream};
  streams_stream_error_t error;
  uint64_t room = 0;
  bool good = true;
  while (good && !room) good = streams_method_output_stream_check_write(to, &room, &error);
  wasip2_list_u8_t bytes = {.ptr = (uint8_t *)buffer, .len = size < room ? size : room};
  good = good && streams_method_output_stream_write(to, &bytes, &error) && streams_method_output_stream_blocking_flush(to, &error);
  return good ? (ssize_t)bytes.len : fail(error_of(&error));
}

static ssize_t write_file(struct description *d, const struct stream_access *access, const void *buffer, size_t size) {
  ssize_t written = write_at_once(access->stream, buffer, size);
  if (written >= 0) {
    *access->offset += written;
    return written;
  }
  int reason = errno;
  d->entry.vtable->close_streams(d->entry.data);  // one that has failed stays closed: the next write takes a new one
  return fail(reason);
}

static ssize_t append_to_file(struct description *d, const void *buffer, size_t size) {
  filesystem_borrow_descriptor_t file;
  filesystem_own_output_stream_t stream;
  filesystem_error_code_t code;
  if (d->entry.vtable->get_file(d->entry.data, &file) < 0) return -1;
  if (!filesystem_method_descriptor_append_via_stream(file, &stream, &code)) return fail(EIO);
  ssize_t written = write_at_once(stream.__handle, buffer, size);
  int reason = errno;
  streams_output_stream_drop_own(stream);
  if (written < 0) return fail(reason);
  d->libc->seek(d->entry.data, 0, SEEK_END);
  return written;
}

// A pipe takes what it has room for. libc's way would wait, after a write that fills it, until there is room for more.
static ssize_t write_pipe(struct operation *operation, const struct stream_access *access, const char *buffer, size_t size) {
  streams_borrow_output_stream_t stream = {access->stream};
  streams_stream_error_t error;
  size_t done = 0;
  while (done < size) {
    uint64_t room;
    if (!streams_method_output_stream_check_write(stream, &room, &error)) return fail(error_of(&error));
    if (!room) {
      if (!access->blocking) return done ? (ssize_t)done : fail(EAGAIN);
      if (poll_description(operation->description, POLLOUT, COOP_FOREVER) < 0) return done ? (ssize_t)done : -1;
      if (operation->closed) return fail(EBADF);
      continue;
    }
    wasip2_list_u8_t bytes = {.ptr = (uint8_t *)buffer + done, .len = size - done < room ? size - done : room};
    if (!streams_method_output_stream_write(stream, &bytes, &error)) return fail(error_of(&error));
    done += bytes.len;
  }
  return done;
}

static ssize_t write_stream(struct description *d, const void *buffer, size_t size) {
  struct stream_access access;
  if (!d->entry.vtable->get_write_stream) return fail(EBADF);
  struct operation operation;
  take_turn(&operation, d);
  ssize_t result = d->entry.vtable->get_write_stream(d->entry.data, &access);
  if (d->nonblocking) access.blocking = false;
  if (result == 0) {
    if (d->end_shared)
      result = append_to_file(d, buffer, size);
    else if (d->entry.vtable->seek)
      result = write_file(d, &access, buffer, size);
    else if (is_stream(d))
      result = write_pipe(&operation, &access, buffer, size);
    else
      result = __wasilibc_write(&access, buffer, size);
  }
  return end_turn(&operation, result);
}

ssize_t description_read(struct description *d, void *buffer, size_t size) {
  if (is_pair(d)) return pair_read(d, buffer, size, d->nonblocking);
  if (is_device(d)) return device_read(d, buffer, size);
  if (d->entry.vtable->recvfrom) return d->entry.vtable->recvfrom(d->entry.data, buffer, size, 0, NULL, NULL);
  return read_stream(d, buffer, size);
}

ssize_t description_write(struct description *d, const void *buffer, size_t size) {
  if (is_pair(d)) return pair_write(d, buffer, size, d->nonblocking);
  if (is_device(d)) return size;
  if (d->entry.vtable->sendto) return d->entry.vtable->sendto(d->entry.data, buffer, size, 0, NULL, 0);
  return write_stream(d, buffer, size);
}

ssize_t read(int fd, void *buffer, size_t size) {
  struct description *d = description_of(fd);
  return d ? description_read(d, buffer, size) : -1;
}

ssize_t write(int fd, const void *buffer, size_t size) {
  struct description *d = description_of(fd);
  return d ? description_write(d, buffer, size) : -1;
}

// libc hands the whole buffer to the host in one call, which the host refuses when it is large. Programs write on after a
// short write.
enum { MOST_AT_ONCE = 1 << 20 };

ssize_t __real_pwrite(int fd, const void *buffer, size_t size, off_t offset);

ssize_t __wrap_pwrite(int fd, const void *buffer, size_t size, off_t offset) {
  return __real_pwrite(fd, buffer, size < MOST_AT_ONCE ? size : MOST_AT_ONCE, offset);
}

// ---- Vectors: each buffer in turn, until one is not done in full.

typedef ssize_t transfer(int fd, void *buffer, size_t size, off_t offset);

static ssize_t each(int fd, const struct iovec *vector, int count, off_t offset, transfer *one) {
  if (count < 0 || count > IOV_MAX) return fail(EINVAL);
  ssize_t total = 0;
  for (int i = 0; i < count; i++) {
    if (!vector[i].iov_len) continue;
    ssize_t done = one(fd, vector[i].iov_base, vector[i].iov_len, offset + total);
    if (done < 0) return total ? total : -1;
    total += done;
    if ((size_t)done < vector[i].iov_len) break;
  }
  return total;
}

static ssize_t read_one(int fd, void *buffer, size_t size, off_t offset) {
  (void)offset;
  return read(fd, buffer, size);
}

static ssize_t write_one(int fd, void *buffer, size_t size, off_t offset) {
  (void)offset;
  return write(fd, buffer, size);
}

static ssize_t pread_one(int fd, void *buffer, size_t size, off_t offset) { return pread(fd, buffer, size, offset); }
static ssize_t pwrite_one(int fd, void *buffer, size_t size, off_t offset) { return pwrite(fd, buffer, size, offset); }

ssize_t readv(int fd, const struct iovec *vector, int count) { return each(fd, vector, count, 0, read_one); }
ssize_t writev(int fd, const struct iovec *vector, int count) { return each(fd, vector, count, 0, write_one); }

ssize_t preadv(int fd, const struct iovec *vector, int count, off_t offset) {
  return each(fd, vector, count, offset, pread_one);
}

ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset) {
  return each(fd, vector, count, offset, pwrite_one);
}

// ---- Files

// libc says EINVAL of a pipe, where programs expect ESPIPE.
off_t __lseek(int fd, off_t offset, int whence) {
  struct description *d = description_of(fd);
  if (!d) return -1;
  return d->entry.vtable->seek ? d->entry.vtable->seek(d->entry.data, offset, whence) : fail(ESPIPE);
}

#undef lseek  // a macro in this libc, for the sake of __wasilibc_tell()
off_t lseek(int fd, off_t offset, int whence) { return __lseek(fd, offset, whence); }
off_t __wasilibc_tell(int fd) { return __lseek(fd, 0, SEEK_CUR); }

static off_t file_seek(void *data, off_t offset, int whence) {
  struct description *d = description_called();
  struct operation operation;
  take_turn(&operation, d);
  if (offset || whence != SEEK_CUR) d->end_shared = false;
  off_t position = d->libc->seek(data, offset, whence);
  int error = errno;
  end_turn(&operation, 0);
  errno = error;
  return position;
}

void file_adopt(struct description *d) {
  static struct vtable ours;
  if (!ours.free) {
    ours = *d->libc;
    ours.seek = file_seek;
  }
  d->entry.vtable = &ours;
}
