// pipe() and socketpair(): two ends joined by buffers in the guest's own memory.
//
// Why not a pair of loopback connections: these need nothing of the host, cost no host call, wake the
// other thread directly, and a thread that waits for one is not an open network connection. When an end is passed to
// another process, both become streams of the host (stream.c).
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "posix.h"

// As on Linux: what a pipe holds, and what is written as a whole or not at all.
enum { CAPACITY = 65536, ATOMIC = 4096 };

// One direction.
struct channel {
  char *data;  // a ring, allocated with the first byte
  size_t start, used;
  bool writer_gone, reader_gone;
  bool moved;                            // to the host: whoever comes back from waiting goes on there
  struct description *reader, *writer;  // null when closed
  unsigned ends;  // and calls that still refer to it
  struct coop_queue readers, writers;
  struct poll_waiter *pollers;
};

struct pair_end {
  struct channel *in, *out;  // a pipe's end has one of them
  int family;                // 0 = pipe
};

static const struct vtable pipe_vtable, socket_vtable;

bool is_pair(const struct description *d) {
  return d->entry.vtable == &pipe_vtable || d->entry.vtable == &socket_vtable;
}

static struct pair_end *end_of(const struct description *d) { return d->entry.data; }

// ---- Waking

static void changed(struct channel *channel, struct coop_queue *waiters) {
  coop_wake_all(waiters);
  for (struct poll_waiter *w = channel->pollers; w; w = w->next) coop_wake(w->thread);
}

static void watch(struct channel *channel, struct poll_waiter *waiter) {
  *waiter = (struct poll_waiter){coop_self, channel->pollers, &channel->pollers};
  if (waiter->next) waiter->next->link = &waiter->next;
  channel->pollers = waiter;
}

void pair_poll_begin(struct description *d, short events, struct poll_waiter waiters[2]) {
  (void)events;  // errors and hang-ups are wanted whatever was asked for
  struct pair_end *end = end_of(d);
  waiters[0].link = waiters[1].link = NULL;
  if (end->in) watch(end->in, &waiters[0]);
  if (end->out) watch(end->out, &waiters[1]);
}

void pair_poll_end(struct poll_waiter waiters[2]) {
  for (int i = 0; i < 2; i++) {
    if (!waiters[i].link) continue;
    *waiters[i].link = waiters[i].next;
    if (waiters[i].next) waiters[i].next->link = waiters[i].link;
  }
}

size_t pair_readable(const struct description *d) { return end_of(d)->in ? end_of(d)->in->used : 0; }

short pair_events(const struct description *d, short events) {
  struct pair_end *end = end_of(d);
  short ready = 0;
  if (end->in) {
    if (end->in->used || end->in->writer_gone) ready |= POLLIN;
    if (end->in->writer_gone && (!end->family || end->out->reader_gone)) ready |= POLLHUP;
  }
  if (end->out) {
    if (CAPACITY - end->out->used >= ATOMIC || end->out->reader_gone) ready |= POLLOUT;
    if (end->out->reader_gone && !end->family) ready |= POLLERR;
  }
  return ready & (events | POLLHUP | POLLERR);
}

// ---- Data

static size_t take(struct channel *channel, char *buffer, size_t size, bool keep) {
  size_t count = size < channel->used ? size : channel->used;
  size_t first = CAPACITY - channel->start < count ? CAPACITY - channel->start : count;
  memcpy(buffer, channel->data + channel->start, first);
  memcpy(buffer + first, channel->data, count - first);
  if (keep) return count;
  channel->start = (channel->start + count) % CAPACITY;
  channel->used -= count;
  return count;
}

static size_t put(struct channel *channel, const char *buffer, size_t size) {
  size_t count = size < CAPACITY - channel->used ? size : CAPACITY - channel->used;
  size_t end = (channel->start + channel->used) % CAPACITY;
  size_t first = CAPACITY - end < count ? CAPACITY - end : count;
  memcpy(channel->data + end, buffer, first);
  memcpy(channel->data, buffer + first, count - first);
  channel->used += count;
  return count;
}

static void let_go(struct channel *channel) {
  if (--channel->ends) return;
  free(channel->data);
  free(channel);
}

static ssize_t receive(struct description *d, void *buffer, size_t size, bool nonblocking, bool keep) {
  struct channel *channel = end_of(d)->in;
  if (!channel) return fail(EBADF);
  if (!size) return 0;
  channel->ends++;
  uint64_t deadline = d->receive_timeout ? coop_after(d->receive_timeout) : COOP_FOREVER;
  struct operation operation;
  operation_begin(&operation, d);
  ssize_t result = 0;
  while (!channel->used && !channel->writer_gone && !channel->moved)
    if (operation.closed || nonblocking || !coop_park_interruptibly(&channel->readers, deadline, NULL)) {
      result = fail(EAGAIN);
      break;
    } else if (coop_self->interrupted) {
      result = fail(EINTR);
      break;
    }
  if (result == 0 && channel->used) {
    result = take(channel, buffer, size, keep);
    if (!keep) changed(channel, &channel->writers);
  }
  if (channel->moved && !operation.closed) result = description_read(d, buffer, size);
  let_go(channel);
  return operation_end(&operation, result);
}

ssize_t pair_read(struct description *d, void *buffer, size_t size, bool nonblocking) {
  return receive(d, buffer, size, nonblocking, false);
}

// Without a parked writer an errno is enough: there are no signals, so no SIGPIPE.
static int wait_for_room(struct operation *operation, struct channel *channel, size_t needed, uint64_t deadline,
                         bool nonblocking) {
  while (!channel->reader_gone && !channel->moved && CAPACITY - channel->used < needed)
    if (operation->closed || nonblocking || !coop_park_interruptibly(&channel->writers, deadline, NULL))
      return EAGAIN;
    else if (coop_self->interrupted)
      return EINTR;
  return channel->reader_gone || channel->writer_gone ? EPIPE : 0;
}

ssize_t pair_write(struct description *d, const void *buffer, size_t size, bool nonblocking) {
  struct channel *channel = end_of(d)->out;
  if (!channel) return fail(EBADF);
  if (!channel->data && !(channel->data = malloc(CAPACITY))) return fail(ENOMEM);
  uint64_t deadline = d->send_timeout ? coop_after(d->send_timeout) : COOP_FOREVER;
  struct operation operation;
  operation_begin(&operation, d);
  channel->ends++;
  size_t done = 0;
  int error = channel->reader_gone || channel->writer_gone ? EPIPE : 0;  // they left, or we did (shutdown)
  while (done < size && !error) {
    size_t needed = size <= ATOMIC ? size : 1;
    error = wait_for_room(&operation, channel, needed, deadline, nonblocking);
    if (error) break;
    if (channel->moved) {
      ssize_t more = operation.closed ? -1 : description_write(d, (const char *)buffer + done, size - done);
      if (more < 0 && !done) error = operation.closed ? EBADF : errno;
      if (more > 0) done += more;
      break;
    }
    done += put(channel, (const char *)buffer + done, size - done);
    changed(channel, &channel->readers);
  }
  let_go(channel);
  return operation_end(&operation, done || !error ? (ssize_t)done : fail(error));
}

// ---- Closing

static void leave(struct channel *channel, bool as_writer) {
  if (!channel) return;
  if (as_writer)
    channel->writer_gone = true;
  else
    channel->reader_gone = true;
  changed(channel, as_writer ? &channel->readers : &channel->writers);
  if (!channel->writer_gone || !channel->reader_gone) return;
  free(channel->data);
  channel->data = NULL;
  channel->used = 0;
}

static void pair_free(void *data) {
  struct pair_end *end = data;
  if (end->in) {
    end->in->reader = NULL;
    leave(end->in, false);
    let_go(end->in);
  }
  if (end->out) {
    end->out->writer = NULL;
    leave(end->out, true);
    let_go(end->out);
  }
  free(end);
}

// ---- Passing one on

// A pipe of the host in the channel's place, with what is in it.
static int move(const struct channel *channel, int32_t *reader, int32_t *writer) {
  *reader = *writer = -1;
  if (!channel) return 0;
  if (process_pipe(reader, writer) < 0) return -1;
  char *waiting = malloc(channel->used ? channel->used : 1);
  if (!waiting) return fail(ENOMEM);
  struct channel copy = *channel;
  wasip2_list_u8_t bytes = {(uint8_t *)waiting, take(&copy, waiting, channel->used, true)};
  streams_stream_error_t error;
  if (bytes.len) streams_method_output_stream_write((streams_borrow_output_stream_t){*writer}, &bytes, &error);
  free(waiting);
  return 0;
}

static void drop_handles(int32_t reader, int32_t writer) {
  if (reader >= 0) streams_input_stream_drop_own((streams_own_input_stream_t){reader});
  if (writer >= 0) streams_output_stream_drop_own((streams_own_output_stream_t){writer});
}

static void wake_moved(struct channel *channel) {
  if (!channel) return;
  channel->moved = true;
  coop_wake_all(&channel->writers);
  changed(channel, &channel->readers);
}

// Puts a stream in the place of an end; a closed one, or a direction that was shut down, gives its handle up.
static void become_stream(struct description *d, int32_t reader, int32_t writer) {
  if (!d) {
    drop_handles(reader, writer);
    return;
  }
  struct pair_end *old = end_of(d);
  struct entry entry;
  if (!stream_vtable_for(&entry, reader, writer)) abort();  // out of memory half-way
  d->entry = entry;
  if (old->in) let_go(old->in);
  if (old->out) let_go(old->out);
  free(old);
}

int pair_share(struct description *d) {
  struct pair_end *end = end_of(d);
  struct channel *in = end->in, *out = end->out;
  struct description *other = in ? in->writer : out->reader;
  int32_t in_reader, in_writer, out_reader, out_writer;
  if (move(in, &in_reader, &in_writer) < 0) return -1;
  if (move(out, &out_reader, &out_writer) < 0) {
    drop_handles(in_reader, in_writer);
    return -1;
  }
  if (in && in->writer_gone && in_writer >= 0) drop_handles(-1, in_writer), in_writer = -1;
  if (out && out->writer_gone && out_writer >= 0) drop_handles(-1, out_writer), out_writer = -1;
  wake_moved(in);
  wake_moved(out);
  become_stream(d, in_reader, out_writer);
  become_stream(other, out_reader, in_writer);
  return 0;
}

static int pair_shutdown(void *data, int how) {
  struct pair_end *end = data;
  if (how & ~SHUT_RDWR || !how) return fail(EINVAL);
  if (how & SHUT_WR) leave(end->out, true);
  if (how & SHUT_RD) {
    leave(end->in, false);
    leave(end->in, true);  // our own reads end now
  }
  return 0;
}

// ---- The rest of what a descriptor does

static int pair_set_blocking(void *data, bool blocking) {
  (void)data;
  description_called()->nonblocking = !blocking;
  return 0;
}

static int pair_fstat(void *data, struct stat *status) {
  memset(status, 0, sizeof *status);
  status->st_mode = (((struct pair_end *)data)->family ? S_IFSOCK : S_IFIFO) | 0600;
  status->st_nlink = 1;
  status->st_blksize = ATOMIC;
  status->st_ino = (uintptr_t)data;
  return 0;
}

static int pair_fcntl_getfl(void *data) {
  struct pair_end *end = data;
  return (end->in ? O_RDONLY : 0) | (end->out ? O_WRONLY : 0) | (description_called()->nonblocking ? O_NONBLOCK : 0);
}

static int pair_fcntl_setfl(void *data, int flags) { return pair_set_blocking(data, !(flags & O_NONBLOCK)); }

static ssize_t pair_recvfrom(void *data, void *buffer, size_t size, int flags, struct sockaddr *address,
                             socklen_t *address_size) {
  (void)data, (void)address;
  struct description *d = description_called();
  if (address_size) *address_size = 0;
  return receive(d, buffer, size, d->nonblocking || flags & MSG_DONTWAIT, flags & MSG_PEEK);
}

static ssize_t pair_sendto(void *data, const void *buffer, size_t size, int flags, const struct sockaddr *address,
                           socklen_t address_size) {
  (void)data, (void)address_size;
  struct description *d = description_called();
  if (address) return fail(EISCONN);
  return pair_write(d, buffer, size, d->nonblocking || flags & MSG_DONTWAIT);
}

// A nameless socket: 127.0.0.1 without a port, or only the family.
static int pair_getname(void *data, struct sockaddr *address, socklen_t *size) {
  int family = ((struct pair_end *)data)->family;
  struct sockaddr_storage storage = {.ss_family = family};
  socklen_t full = sizeof storage.ss_family;
  if (family == AF_INET) {
    ((struct sockaddr_in *)&storage)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    full = sizeof(struct sockaddr_in);
  }
  memcpy(address, &storage, *size < full ? *size : full);
  *size = full;
  return 0;
}

static int pair_getsockopt(void *data, int level, int name, void *value, socklen_t *size) {
  struct description *d = description_called();
  int number = 0;
  if (level != SOL_SOCKET) return fail(ENOPROTOOPT);
  switch (name) {
  case SO_RCVTIMEO: return get_timeout(d->receive_timeout, value, size);
  case SO_SNDTIMEO: return get_timeout(d->send_timeout, value, size);
  case SO_TYPE: number = SOCK_STREAM; break;
  case SO_DOMAIN: number = ((struct pair_end *)data)->family; break;
  case SO_SNDBUF:
  case SO_RCVBUF: number = CAPACITY; break;
  case SO_ERROR:
  case SO_PROTOCOL:
  case SO_ACCEPTCONN:
  case SO_KEEPALIVE:
  case SO_REUSEADDR: break;
  default: return fail(ENOPROTOOPT);
  }
  return give_option(value, size, &number, sizeof number);
}

static int pair_setsockopt(void *data, int level, int name, const void *value, socklen_t size) {
  (void)data;
  struct description *d = description_called();
  if (level == SOL_SOCKET) switch (name) {
    case SO_RCVTIMEO: return set_timeout(&d->receive_timeout, value, size);
    case SO_SNDTIMEO: return set_timeout(&d->send_timeout, value, size);
    case SO_SNDBUF:  // hints
    case SO_RCVBUF:
    case SO_KEEPALIVE:
    case SO_REUSEADDR: return 0;
    }
  return fail(ENOPROTOOPT);
}

static const struct vtable pipe_vtable = {
    .free = pair_free,
    .set_blocking = pair_set_blocking,
    .fstat = pair_fstat,
    .fcntl_getfl = pair_fcntl_getfl,
    .fcntl_setfl = pair_fcntl_setfl,
};

static const struct vtable socket_vtable = {
    .free = pair_free,
    .set_blocking = pair_set_blocking,
    .fstat = pair_fstat,
    .fcntl_getfl = pair_fcntl_getfl,
    .fcntl_setfl = pair_fcntl_setfl,
    .getsockname = pair_getname,
    .getpeername = pair_getname,
    .recvfrom = pair_recvfrom,
    .sendto = pair_sendto,
    .shutdown = pair_shutdown,
    .getsockopt = pair_getsockopt,
    .setsockopt = pair_setsockopt,
};

// ---- Making one

// Takes a share in each channel; undoes it on failure.
static int add_end(struct channel *in, struct channel *out, int family, bool nonblocking) {
  struct pair_end *end = calloc(1, sizeof *end);
  if (!end) return fail(ENOMEM);
  *end = (struct pair_end){in, out, family};
  if (in) in->ends++;
  if (out) out->ends++;
  struct description *d = description_new(end, family ? &socket_vtable : &pipe_vtable);
  if (!d) {
    pair_free(end);
    return fail(ENOMEM);
  }
  d->nonblocking = nonblocking;
  if (in) in->reader = d;
  if (out) out->writer = d;
  return descriptor_new(d, 0);
}

static int add_pair(int fds[2], struct channel *there, struct channel *back, int family, bool nonblocking) {
  // The channels are held here until both ends stand, so that a half-made pair can be taken apart.
  if (there) there->ends++;
  if (back) back->ends++;
  int first = add_end(there, back, family, nonblocking);
  int second = first < 0 ? -1 : add_end(back, there, family, nonblocking);
  int error = errno;
  if (first >= 0 && second < 0) close(first);
  struct channel *channels[] = {there, back};
  for (int i = 0; i < 2; i++)
    if (channels[i]) let_go(channels[i]);
  if (second < 0) return fail(error);
  fds[0] = first;
  fds[1] = second;
  return 0;
}

int pipe2(int fds[2], int flags) {
  if (flags & ~O_NONBLOCK) return fail(EINVAL);
  struct channel *channel = calloc(1, sizeof *channel);
  if (!channel) return fail(ENOMEM);
  return add_pair(fds, channel, NULL, 0, flags & O_NONBLOCK);
}

int pipe(int fds[2]) { return pipe2(fds, 0); }

int socketpair(int family, int type, int protocol, int fds[2]) {
  if (family != AF_UNIX && family != AF_INET) return fail(EAFNOSUPPORT);
  if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM) return fail(EPROTOTYPE);
  if (protocol != 0 && !(family == AF_INET && protocol == IPPROTO_TCP)) return fail(EPROTONOSUPPORT);
  struct channel *there = calloc(1, sizeof *there), *back = calloc(1, sizeof *back);
  if (!there || !back) {
    free(there);
    free(back);
    return fail(ENOMEM);
  }
  int result = add_pair(fds, there, back, family, type & SOCK_NONBLOCK);
  for (int i = 0; result == 0 && type & SOCK_CLOEXEC && i < 2; i++) descriptor_set_close_on_exec(fds[i]);
  return result;
}
