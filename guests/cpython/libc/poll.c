// poll() and select().
//
// Why not libc's own: it fails on a descriptor that is not open (POSIX: POLLNVAL for that one), on a socket
// that is not connected, and keeps using a socket that was closed while it waited.
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

extern void __real_poll_poll(poll_list_borrow_pollable_t *, wasip2_list_u32_t *);

// What libc's sockets fill in through the two functions below.
struct poll_state {
  struct pollfd *fd;  // the one being asked about
  struct awaited {
    struct pollfd *fd;
    short events;
  } *awaited;
  poll_borrow_pollable_t *pollables;
  size_t count, capacity;
};

int __wasilibc_poll_add(struct poll_state *state, short events, poll_borrow_pollable_t pollable) {
  if (state->count == state->capacity) return fail(ENOMEM);
  state->awaited[state->count] = (struct awaited){state->fd, events};
  state->pollables[state->count++] = pollable;
  return 0;
}

void __wasilibc_poll_ready(struct poll_state *state, short events) { state->fd->revents |= events; }

short events_known_here(const struct description *d, short events) {
  if (is_pair(d)) return pair_events(d, events);
  if (is_device(d)) return events;
  return d->peeked_size ? events & POLLIN : 0;
}

// Streams of files and the standard ones.
static int add_streams(struct poll_state *state, struct description *d, short events) {
  struct stream_access access;
  const struct vtable *vtable = d->entry.vtable;
  if (events & POLLIN && vtable->get_read_stream) {
    if (vtable->get_read_stream(d->entry.data, &access) < 0) return -1;
    if (!access.pollable->__handle)
      *access.pollable = streams_method_input_stream_subscribe((streams_borrow_input_stream_t){access.stream});
    if (__wasilibc_poll_add(state, POLLIN, poll_borrow_pollable(*access.pollable)) < 0) return -1;
  }
  if (events & POLLOUT && vtable->get_write_stream) {
    if (vtable->get_write_stream(d->entry.data, &access) < 0) return -1;
    if (!access.pollable->__handle)
      *access.pollable = streams_method_output_stream_subscribe((streams_borrow_output_stream_t){access.stream});
    if (__wasilibc_poll_add(state, POLLOUT, poll_borrow_pollable(*access.pollable)) < 0) return -1;
  }
  // Linux: told whatever was asked for. Who only reads learns of it by the end of what there is.
  if (is_stream(d) && stream_directions(d) == POLLOUT)
    return __wasilibc_poll_add(state, POLLERR, stream_abandoned(d));
  return 0;
}

static void ask(struct poll_state *state, struct description *d) {
  short events = state->fd->events & (POLLIN | POLLOUT);
  if (is_stream(d)) events &= stream_directions(d);
  state->fd->revents = events_known_here(d, events);
  if (state->fd->revents || is_pair(d)) return;
  const struct vtable *vtable = d->entry.vtable;
  if (vtable->get_file) {
    state->fd->revents = events;  // POSIX: a regular file is always ready
  } else if (!vtable->poll_register) {
    if (add_streams(state, d, events) < 0) state->fd->revents = POLLERR;
  } else if (vtable->poll_register(d->entry.data, state, events) < 0) {
    state->fd->revents = (events & POLLOUT) | POLLHUP;  // Linux: a socket that is not connected
  } else if (state->fd->revents && socket_failed(d)) {
    state->fd->revents |= POLLERR | POLLHUP;
  }
}

// Let libc look at the sockets whose pollables are ready: completing a connection happens here.
static void note(struct poll_state *state, size_t i, struct description *d) {
  state->fd = state->awaited[i].fd;
  const struct vtable *vtable = d->entry.vtable;
  if (vtable->poll_finish) {
    vtable->poll_finish(d->entry.data, state, state->awaited[i].events);
    if (state->fd->revents & POLLOUT && socket_failed(d)) state->fd->revents |= POLLERR | POLLHUP;
  } else {
    state->fd->revents |= state->awaited[i].events;
  }
}

// What is ready now, without waiting.
static void probe(struct poll_state *state, bool *ready) {
  if (!state->count) return;
  poll_own_pollable_t timer = monotonic_clock_subscribe_duration(0);
  poll_borrow_pollable_t *all = malloc((state->count + 1) * sizeof *all);
  if (all) {
    memcpy(all, state->pollables, state->count * sizeof *all);
    all[state->count] = poll_borrow_pollable(timer);
    poll_list_borrow_pollable_t in = {all, state->count + 1};
    wasip2_list_u32_t out;
    __real_poll_poll(&in, &out);
    for (size_t i = 0; i < out.len; i++)
      if (out.ptr[i] < state->count) ready[out.ptr[i]] = true;
    wasip2_list_u32_free(&out);
    free(all);
  }
  poll_pollable_drop_own(timer);
}

struct request {
  struct pollfd *fds;
  size_t count;
  struct operation *operations;   // one per fd; without a description if it is not open
  struct poll_waiter (*waiters)[2];
  struct poll_state state;
  bool *ready;
};

static int count_ready(const struct request *r) {
  int count = 0;
  for (size_t i = 0; i < r->count; i++) count += r->fds[i].revents != 0;
  return count;
}

static void ask_all(struct request *r) {
  r->state.count = 0;
  for (size_t i = 0; i < r->count; i++) {
    struct operation *operation = &r->operations[i];
    r->state.fd = &r->fds[i];
    if (operation->description && !operation->closed)
      ask(&r->state, operation->description);
    else
      r->fds[i].revents = r->fds[i].fd < 0 ? 0 : POLLNVAL;
  }
}

static void note_all(struct request *r) {
  for (size_t i = 0; i < r->state.count; i++) {
    struct operation *operation = &r->operations[r->state.awaited[i].fd - r->fds];
    if (r->ready[i] && !operation->closed) note(&r->state, i, operation->description);
  }
}

static bool park(struct request *r, uint64_t deadline) {
  for (size_t i = 0; i < r->count; i++)
    if (r->operations[i].description && is_pair(r->operations[i].description))
      pair_poll_begin(r->operations[i].description, r->fds[i].events, r->waiters[i]);
  struct coop_io io = {r->state.pollables, r->state.count, r->ready};
  bool in_time = coop_park_interruptibly(NULL, deadline, io.count ? &io : NULL);
  for (size_t i = 0; i < r->count; i++)
    if (r->operations[i].description && is_pair(r->operations[i].description)) pair_poll_end(r->waiters[i]);
  return in_time;
}

static int run(struct request *r, uint64_t deadline) {
  bool in_time = deadline != 0;
  for (;;) {
    ask_all(r);
    int count = count_ready(r);
    memset(r->ready, 0, r->state.capacity);
    if (count || !in_time) {
      // Something is ready, or time is up: report all that is, without waiting for more.
      probe(&r->state, r->ready);
      note_all(r);
      return count_ready(r);
    }
    if (!coop_reserve_io(r->state.count)) return fail(ENOMEM);
    in_time = park(r, deadline);
    if (coop_self->interrupted) return fail(EINTR);
    if (!in_time) continue;  // ready in the very last moment is ready: look once more
    note_all(r);
    if ((count = count_ready(r))) return count;
  }
}

// The memory one call needs, in one piece: few descriptors fit in the caller's frame.
enum { FEW = 8 };
#define BYTES_PER_FD                                                                            \
  (sizeof(struct operation) + sizeof(struct poll_waiter[2]) +                                   \
   2 * (sizeof(struct awaited) + sizeof(poll_borrow_pollable_t) + sizeof(bool)))

static int poll_until(struct pollfd *fds, size_t count, uint64_t deadline) {
  _Alignas(8) char few[FEW * BYTES_PER_FD];
  char *memory = count <= FEW ? few : malloc(count * BYTES_PER_FD);
  if (!memory) return fail(ENOMEM);
  struct request r = {.fds = fds, .count = count, .operations = (struct operation *)memory};
  r.waiters = (struct poll_waiter(*)[2])(r.operations + count);
  r.state.awaited = (struct awaited *)(r.waiters + count);
  r.state.pollables = (poll_borrow_pollable_t *)(r.state.awaited + 2 * count);
  r.ready = (bool *)(r.state.pollables + 2 * count);
  r.state.capacity = 2 * count;

  for (size_t i = 0; i < count; i++) {
    struct description *d = fds[i].fd >= 0 ? description_of(fds[i].fd) : NULL;
    r.operations[i].description = NULL;
    if (d) operation_begin(&r.operations[i], d);
  }
  int result = run(&r, deadline), error = errno;
  for (size_t i = 0; i < count; i++)
    if (r.operations[i].description) operation_end(&r.operations[i], 0);
  if (memory != few) free(memory);
  errno = error;
  return result;
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  if (count > SIZE_MAX / BYTES_PER_FD) return fail(EINVAL);
  uint64_t deadline = timeout < 0 ? COOP_FOREVER : timeout == 0 ? 0 : coop_after((uint64_t)timeout * 1000000);
  return poll_until(fds, count, deadline);
}

// ---- select(): an fd_set of this libc is a list, not a bit map.

static size_t collect(const fd_set *set, int limit, short events, struct pollfd *out) {
  size_t count = 0;
  for (size_t i = 0; set && i < set->__nfds; i++)
    if (set->__fds[i] < limit) out[count++] = (struct pollfd){.fd = set->__fds[i], .events = events};
  return count;
}

static int keep_ready(fd_set *set, const struct pollfd *fds, size_t count, short wanted) {
  if (!set) return 0;
  set->__nfds = 0;
  for (size_t i = 0; i < count; i++)
    if (fds[i].revents & wanted) set->__fds[set->__nfds++] = fds[i].fd;
  return set->__nfds;
}

int pselect(int limit, fd_set *restrict read_set, fd_set *restrict write_set, fd_set *restrict except_set,
            const struct timespec *restrict timeout, const sigset_t *restrict mask) {
  (void)mask;  // there are no signals to hold back
  if (limit < 0) return fail(EINVAL);
  uint64_t deadline = COOP_FOREVER;
  if (timeout) {
    if (timeout->tv_sec < 0 || coop_deadline(CLOCK_MONOTONIC, timeout, &deadline) != 0) return fail(EINVAL);
    if (deadline && deadline != COOP_FOREVER) deadline = coop_after(deadline);
  }
  size_t sum = (read_set ? read_set->__nfds : 0) + (write_set ? write_set->__nfds : 0);
  struct pollfd *fds = malloc((sum ? sum : 1) * sizeof *fds);
  if (!fds) return fail(ENOMEM);
  size_t reads = collect(read_set, limit, POLLIN, fds);
  size_t writes = collect(write_set, limit, POLLOUT, fds + reads);
  int result = poll_until(fds, reads + writes, deadline);
  for (size_t i = 0; result >= 0 && i < reads + writes; i++)
    if (fds[i].revents & POLLNVAL) result = fail(EBADF);
  if (result >= 0) {
    result = keep_ready(read_set, fds, reads, POLLIN | POLLHUP | POLLERR);
    result += keep_ready(write_set, fds + reads, writes, POLLOUT | POLLERR);
    if (except_set) except_set->__nfds = 0;  // out-of-band data does not exist here
  }
  free(fds);
  return result;
}

int poll_description(struct description *d, short events, uint64_t deadline) {
  struct pollfd fd = {.fd = 0, .events = events};
  struct operation operation;
  struct poll_waiter waiters[1][2];
  struct awaited awaited[2];
  poll_borrow_pollable_t pollables[2];
  bool ready[2];
  struct request r = {&fd, 1, &operation, waiters, {.awaited = awaited, .pollables = pollables, .capacity = 2}, ready};
  operation_begin(&operation, d);
  int count = run(&r, deadline);
  operation_end(&operation, 0);
  return count > 0 ? fd.revents : count;
}
