// Sockets: blocking, addresses and options, on top of libc's non-blocking ones.
//
// libc's own blocking calls keep a private copy of "blocking" while they wait, so nobody can call them
// back when the socket is closed. Here libc's sockets never block: every blocking call is an attempt, then
// a wait in poll_description(), then another attempt, and close() ends it between two of them.
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "posix.h"

static uint64_t deadline_after(uint64_t timeout) { return timeout ? coop_after(timeout) : COOP_FOREVER; }

static bool is_stream(const struct description *d) { return d->libc->listen != NULL; }

static int option(struct description *d, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  d->libc->getsockopt(d->entry.data, SOL_SOCKET, name, &value, &size);
  return value;
}

bool socket_failed(struct description *d) {
  int error = is_stream(d) ? option(d, SO_ERROR) : 0;
  return error && error != EINPROGRESS;
}

// A connection begun without blocking is completed by whoever looks next: as on Linux, that need not be poll().
static bool is_connecting(struct description *d) { return is_stream(d) && option(d, SO_ERROR) == EINPROGRESS; }

static bool finish_connecting(struct description *d, uint64_t deadline) {
  return is_connecting(d) && poll_description(d, POLLOUT, deadline) >= 0 && !is_connecting(d);
}

// Whether to try again: true after a wait for `events`, false with errno set if there is nothing to wait for.
static bool wait_to_retry(struct operation *operation, short events, uint64_t deadline, bool nonblocking) {
  if (errno == ENOTCONN && is_connecting(operation->description)) {
    errno = EAGAIN;
    return finish_connecting(operation->description, nonblocking ? 0 : deadline) && !operation->closed;
  }
  if (errno != EAGAIN || nonblocking) return false;
  int revents = poll_description(operation->description, events, deadline);
  if (revents > 0 && !operation->closed) return true;
  if (revents == 0) errno = EAGAIN;  // the time of SO_RCVTIMEO or SO_SNDTIMEO is up
  return false;
}

// ---- Data

// libc reports every failure of a stream as EIO. On a connection that means the other side reset it.
static ssize_t with_socket_error(ssize_t result) {
  if (result < 0 && errno == EIO) errno = ECONNRESET;
  return result;
}

static ssize_t receive_some(struct description *d, void *buffer, size_t size, int flags,
                            struct sockaddr *address, socklen_t *address_size) {
  bool nonblocking = d->nonblocking || flags & MSG_DONTWAIT;
  uint64_t deadline = deadline_after(d->receive_timeout);
  struct operation operation;
  operation_begin(&operation, d);
  ssize_t received;
  do
    received = d->libc->recvfrom(d->entry.data, buffer, size, flags | MSG_DONTWAIT, address, address_size);
  while (received < 0 && wait_to_retry(&operation, POLLIN, deadline, nonblocking));
  return operation_end(&operation, with_socket_error(received));
}

// What MSG_PEEK saw is kept.
static ssize_t receive_stream(struct description *d, void *buffer, size_t size, int flags) {
  bool peek = flags & MSG_PEEK;
  if (d->peeked_size) return take_peeked(d, buffer, size, peek);
  if (!peek) return receive_some(d, buffer, size, flags, NULL, NULL);
  char *kept = realloc(d->peeked, size ? size : 1);
  if (!kept) return fail(ENOMEM);
  d->peeked = kept;
  ssize_t received = receive_some(d, buffer, size, flags & ~MSG_PEEK, NULL, NULL);
  if (received <= 0) return received;
  memcpy(d->peeked, buffer, d->peeked_size = received);
  return received;
}

static ssize_t socket_recvfrom(void *data, void *buffer, size_t size, int flags, struct sockaddr *address,
                               socklen_t *address_size) {
  (void)data;
  struct description *d = description_called();
  if (!is_stream(d)) return receive_some(d, buffer, size, flags, address, address_size);
  // A connection has no sender's address to give; libc calls the question an error.
  if (address_size) *address_size = 0;
  flags &= ~MSG_NOSIGNAL;
  if (!(flags & MSG_WAITALL)) return receive_stream(d, buffer, size, flags);
  size_t total = 0;
  while (total < size) {
    ssize_t received = receive_stream(d, (char *)buffer + total, size - total, flags & ~MSG_WAITALL);
    if (received < 0 && !total) return -1;
    if (received <= 0) break;
    total += received;
  }
  return total;
}

// Sent means accepted by the host, as with a kernel's buffer: the host must deliver it even if the socket is
// closed next (README.md, "What the host owes").
static ssize_t socket_sendto(void *data, const void *buffer, size_t size, int flags,
                             const struct sockaddr *address, socklen_t address_size) {
  struct description *d = description_called();
  bool nonblocking = d->nonblocking || flags & MSG_DONTWAIT;
  uint64_t deadline = deadline_after(d->send_timeout);
  if (is_stream(d)) address = NULL, address_size = 0;
  flags &= MSG_DONTWAIT | MSG_NOSIGNAL;
  struct operation operation;
  operation_begin(&operation, d);
  ssize_t sent;
  do
    sent = d->libc->sendto(data, buffer, size, flags | MSG_DONTWAIT, address, address_size);
  while (sent < 0 && wait_to_retry(&operation, POLLOUT, deadline, nonblocking));
  return operation_end(&operation, with_socket_error(sent));
}

// ---- Connections

extern int __real_socket(int, int, int);

int __wrap_socket(int family, int type, int protocol) {
  int fd = __real_socket(family, type, protocol);
  if (fd >= 0 && type & SOCK_CLOEXEC) descriptor_set_close_on_exec(fd);
  return fd;
}

static int socket_accept4(void *data, struct sockaddr *address, socklen_t *size, int flags) {
  struct description *d = description_called();
  uint64_t deadline = deadline_after(d->receive_timeout);
  struct operation operation;
  operation_begin(&operation, d);
  int fd;
  // libc must not ask for the peer's address: it aborts if the peer has already gone.
  do
    fd = d->libc->accept4(data, NULL, NULL, flags);
  while (fd < 0 && wait_to_retry(&operation, POLLIN, deadline, d->nonblocking));
  fd = operation_end(&operation, fd);
  if (fd >= 0 && flags & SOCK_CLOEXEC) descriptor_set_close_on_exec(fd);
  if (fd < 0 || !address) return fd;
  struct description *client = description_of(fd);
  if (client->libc->getpeername(client->entry.data, address, size) < 0) *size = 0;
  return fd;
}

static int socket_connect(void *data, const struct sockaddr *address, socklen_t size) {
  struct description *d = description_called();
  // Connecting a datagram socket drops its streams: not while somebody waits on them.
  if (!is_stream(d) && d->operations) return fail(EBUSY);
  uint64_t deadline = deadline_after(d->send_timeout);
  struct operation operation;
  operation_begin(&operation, d);
  int result = d->libc->connect(data, address, size);
  if (result < 0 && errno == EINPROGRESS && !d->nonblocking) {
    // Polling completes the connection or notes why it failed.
    int revents = poll_description(d, POLLOUT, deadline);
    int error = revents > 0 ? option(d, SO_ERROR) : revents < 0 ? errno : EINPROGRESS;
    result = error ? fail(error) : 0;
  }
  return operation_end(&operation, result);
}

// These finish at once on every host we know; should one not, libc waits for it in its own way.
static int socket_bind(void *data, const struct sockaddr *address, socklen_t size) {
  struct description *d = description_called();
  d->libc->set_blocking(data, true);
  int result = d->libc->bind(data, address, size);
  d->libc->set_blocking(data, false);
  return result;
}

static int socket_listen(void *data, int backlog) {
  struct description *d = description_called();
  d->libc->set_blocking(data, true);
  int result = d->libc->listen(data, backlog > 0 ? backlog : 1);  // the host takes 0 for an error
  d->libc->set_blocking(data, false);
  return result;
}

// ---- Addresses

static int wildcard(struct description *d, struct sockaddr *address, socklen_t *size) {
  struct sockaddr_storage storage = {.ss_family = option(d, SO_DOMAIN)};
  socklen_t full = storage.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  memcpy(address, &storage, *size < full ? *size : full);
  *size = full;
  return 0;
}

// Linux: a socket without an address has the wildcard address and port 0.
static int socket_getsockname(void *data, struct sockaddr *address, socklen_t *size) {
  struct description *d = description_called();
  if (!address || !size) return fail(EFAULT);
  return d->libc->getsockname(data, address, size) == 0 ? 0 : wildcard(d, address, size);
}

static int socket_getpeername(void *data, struct sockaddr *address, socklen_t *size) {
  struct description *d = description_called();
  if (!address || !size) return fail(EFAULT);
  if (d->libc->getpeername(data, address, size) == 0) return 0;
  if (finish_connecting(d, 0) && d->libc->getpeername(data, address, size) == 0) return 0;
  return fail(ENOTCONN);
}

// ---- Options

// Options that are remembered and have no further effect here, and why that is right.
static const struct {
  int level, name;
} KEPT[KEPT_OPTIONS] = {
    {SOL_SOCKET, SO_REUSEADDR},  // of datagrams only: libc does it for connections
    {SOL_SOCKET, SO_REUSEPORT},  // one process: the server that asks to be one of many is the only one
    {SOL_SOCKET, SO_BROADCAST},  // the host decides where datagrams may go
    {SOL_SOCKET, SO_OOBINLINE},  // there is no out-of-band data
    {IPPROTO_TCP, TCP_QUICKACK},  // a wish about a TCP stack that is out of reach
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
};

static int *kept_option(struct description *d, int level, int name) {
  for (int i = name == SO_REUSEADDR && is_stream(d) ? 1 : 0; i < KEPT_OPTIONS; i++)
    if (KEPT[i].level == level && KEPT[i].name == name) return &d->kept_options[i];
  return NULL;
}

static int socket_getsockopt(void *data, int level, int name, void *value, socklen_t *size) {
  struct description *d = description_called();
  const int *kept = kept_option(d, level, name);
  if (kept) return give_number(value, size, *kept);
  if (level == SOL_SOCKET) switch (name) {
    case SO_RCVTIMEO: return get_timeout(d->receive_timeout, value, size);
    case SO_SNDTIMEO: return get_timeout(d->send_timeout, value, size);
    case SO_LINGER: return give_option(value, size, &d->linger, sizeof d->linger);
    }
  if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) return give_number(value, size, 1);
  return d->libc->getsockopt(data, level, name, value, size);
}

static int socket_setsockopt(void *data, int level, int name, const void *value, socklen_t size) {
  struct description *d = description_called();
  int number, *kept = kept_option(d, level, name);
  if (size < sizeof number) return fail(EINVAL);
  memcpy(&number, value, sizeof number);
  if (kept) {
    *kept = number;
    return 0;
  }
  if (level == SOL_SOCKET) switch (name) {
    case SO_RCVTIMEO: return set_timeout(&d->receive_timeout, value, size);
    case SO_SNDTIMEO: return set_timeout(&d->send_timeout, value, size);
    // close() never waits here and never discards what was sent: "linger" changes nothing a program
    // could see, but for the reset that {on, 0} asks for.
    case SO_LINGER:
      if (size < sizeof d->linger) return fail(EINVAL);
      memcpy(&d->linger, value, sizeof d->linger);
      return 0;
    }
  // A wasi socket never speaks both protocols.
  if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) return number ? 0 : fail(EINVAL);
  return d->libc->setsockopt(data, level, name, value, size);
}

// ---- Modes

static int socket_set_blocking(void *data, bool blocking) {
  (void)data;
  description_called()->nonblocking = !blocking;
  return 0;
}

static int socket_fcntl_getfl(void *data) {
  (void)data;
  return O_RDWR | (description_called()->nonblocking ? O_NONBLOCK : 0);
}

static int socket_fcntl_setfl(void *data, int flags) { return socket_set_blocking(data, !(flags & O_NONBLOCK)); }

// The one capability for all sockets. libc keeps it for ever; no handle may outlive a snapshot.
static network_own_network_t network;

network_borrow_network_t __wrap___wasi_sockets_utils__borrow_network(void) {
  if (!network.__handle) network = instance_network_instance_network();
  return network_borrow_network(network);
}

void socket_forget_network(void) {
  if (network.__handle) network_network_drop_own(network);
  network.__handle = 0;
}

// libc aborts the program on error codes that it does not expect of a host.
int __wrap___wasilibc_map_socket_error(const network_error_code_t *error) {
  switch (*error) {
  case NETWORK_ERROR_CODE_ACCESS_DENIED: return EACCES;
  case NETWORK_ERROR_CODE_NOT_SUPPORTED: return EOPNOTSUPP;
  case NETWORK_ERROR_CODE_INVALID_ARGUMENT: return EINVAL;
  case NETWORK_ERROR_CODE_OUT_OF_MEMORY: return ENOMEM;
  case NETWORK_ERROR_CODE_TIMEOUT: return ETIMEDOUT;
  case NETWORK_ERROR_CODE_CONCURRENCY_CONFLICT: return EALREADY;
  case NETWORK_ERROR_CODE_NOT_IN_PROGRESS: return EINVAL;
  case NETWORK_ERROR_CODE_WOULD_BLOCK: return EAGAIN;
  case NETWORK_ERROR_CODE_INVALID_STATE: return EINVAL;
  case NETWORK_ERROR_CODE_NEW_SOCKET_LIMIT: return EMFILE;
  case NETWORK_ERROR_CODE_ADDRESS_NOT_BINDABLE: return EADDRNOTAVAIL;
  case NETWORK_ERROR_CODE_ADDRESS_IN_USE: return EADDRINUSE;
  case NETWORK_ERROR_CODE_REMOTE_UNREACHABLE: return EHOSTUNREACH;
  case NETWORK_ERROR_CODE_CONNECTION_REFUSED: return ECONNREFUSED;
  case NETWORK_ERROR_CODE_CONNECTION_RESET: return ECONNRESET;
  case NETWORK_ERROR_CODE_CONNECTION_ABORTED: return ECONNABORTED;
  case NETWORK_ERROR_CODE_DATAGRAM_TOO_LARGE: return EMSGSIZE;
  case NETWORK_ERROR_CODE_NAME_UNRESOLVABLE: return ENOENT;
  case NETWORK_ERROR_CODE_TEMPORARY_RESOLVER_FAILURE: return EAGAIN;
  case NETWORK_ERROR_CODE_PERMANENT_RESOLVER_FAILURE: return EIO;
  default: return EIO;
  }
}

// One patched table per kind: tcp and udp.
void socket_adopt(struct description *d) {
  static struct {
    const struct vtable *libc;
    struct vtable ours;
  } kinds[2];
  int kind = 0;
  while (kinds[kind].libc && kinds[kind].libc != d->libc) kind++;
  struct vtable *ours = &kinds[kind].ours;
  if (!kinds[kind].libc) {
    kinds[kind].libc = d->libc;
    *ours = *d->libc;
    // Without streams of its own to hand out, libc's read() and poll() use recvfrom and poll_register.
    ours->get_read_stream = ours->get_write_stream = NULL;
    ours->set_blocking = socket_set_blocking;
    ours->fcntl_getfl = socket_fcntl_getfl;
    ours->fcntl_setfl = socket_fcntl_setfl;
    ours->recvfrom = socket_recvfrom;
    ours->sendto = socket_sendto;
    ours->connect = socket_connect;
    ours->bind = socket_bind;
    ours->getsockname = socket_getsockname;
    ours->getpeername = socket_getpeername;
    ours->getsockopt = socket_getsockopt;
    ours->setsockopt = socket_setsockopt;
    if (d->libc->listen) {
      ours->accept4 = socket_accept4;
      ours->listen = socket_listen;
    }
  }
  d->entry.vtable = ours;
  d->nonblocking = d->libc->fcntl_getfl(d->entry.data) & O_NONBLOCK;
  d->libc->set_blocking(d->entry.data, false);
}
