// Sockets as plain servers and clients use them. Needs a loopback.
#include "net.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/time.h>

static void addresses_before_binding(void) {
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
  static const int families[] = {AF_INET, AF_INET6};
  for (int i = 0; i < 4; i++) {
    int fd = socket(families[i / 2], types[i % 2], 0);
    struct sockaddr_in6 address = {.sin6_port = 1};
    socklen_t size = sizeof address;
    if (fd < 0 && families[i / 2] == AF_INET6) continue;  // a host without IPv6
    CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    CHECK(address.sin6_family == families[i / 2] && address.sin6_port == 0);
    CHECK(size == (families[i / 2] == AF_INET ? sizeof(struct sockaddr_in) : sizeof address));
    CHECK(getpeername(fd, (struct sockaddr *)&address, &size) == -1 && errno == ENOTCONN);
    CHECK(getpeername(fd, NULL, NULL) == -1);
    CHECK(close(fd) == 0);
  }
}

static void addresses_of_a_failed_connection(void) {
  struct sockaddr_in address;
  int l = listener(&address), fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(close(l) == 0);
  CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == -1 && errno == ECONNREFUSED);
  socklen_t size = sizeof address;
  CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
  CHECK(getpeername(fd, (struct sockaddr *)&address, &size) == -1 && errno == ENOTCONN);
  char byte;
  CHECK(recv(fd, &byte, 1, 0) == -1 && errno == ENOTCONN);
  CHECK(send(fd, &byte, 1, 0) == -1 && (errno == ENOTCONN || errno == EPIPE));
}

static void nonblocking_connect(void) {
  struct sockaddr_in address;
  int l = listener(&address), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error;
  socklen_t size = sizeof error;
  CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
  int result = connect(fd, (struct sockaddr *)&address, sizeof address);
  CHECK(result == 0 || errno == EINPROGRESS);
  struct pollfd wait = {fd, POLLOUT, 0};
  CHECK(poll(&wait, 1, 2000) == 1 && wait.revents == POLLOUT);
  CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
  int server = accept(l, NULL, NULL);
  char byte;
  CHECK(recv(fd, &byte, 1, 0) == -1 && errno == EAGAIN);
  CHECK(send(server, "x", 1, 0) == 1);
  wait.events = POLLIN;
  CHECK(poll(&wait, 1, 2000) == 1 && recv(fd, &byte, 1, 0) == 1);
  close(l);
  int refused = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  result = connect(refused, (struct sockaddr *)&address, sizeof address);
  CHECK(result == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
  wait = (struct pollfd){refused, POLLOUT, 0};
  CHECK(poll(&wait, 1, 2000) == 1 && wait.revents & POLLERR);
  CHECK(getsockopt(refused, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNREFUSED);
}

// Nobody polls between the connect and the first use: Python's own socketpair() does that.
static void connecting_is_finished_by_use(void) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  int l = listener(&address), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int result = connect(fd, (struct sockaddr *)&address, sizeof address);
  CHECK(result == 0 || errno == EINPROGRESS);
  CHECK(fcntl(fd, F_SETFL, 0) == 0);
  int server = accept(l, NULL, NULL);
  char byte;
  CHECK(server >= 0 && send(fd, "x", 1, 0) == 1 && recv(server, &byte, 1, 0) == 1);
  CHECK(getpeername(fd, (struct sockaddr *)&address, &size) == 0);
}

static void close_on_exec(void) {
  struct sockaddr_in address;
  int l = listener(&address), client = connected(&address), fds[2];
  CHECK(fcntl(client, F_GETFD) == 0);
  CHECK(fcntl(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(accept4(l, NULL, NULL, SOCK_CLOEXEC), F_GETFD) == FD_CLOEXEC);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  CHECK(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(fds[1], F_GETFD) == FD_CLOEXEC);
}

static void accept_gives_the_peer(void) {
  struct sockaddr_in address, peer, own;
  socklen_t size = sizeof peer;
  int l = listener(&address), client = connected(&address), server = accept4(l, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK);
  CHECK(server >= 0 && size == sizeof peer && peer.sin_family == AF_INET);
  CHECK(getsockname(client, (struct sockaddr *)&own, &size) == 0);
  CHECK(own.sin_port == peer.sin_port && own.sin_addr.s_addr == peer.sin_addr.s_addr);
  CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
  CHECK(accept(client, NULL, NULL) == -1);
}

// The client is gone before accept() asks who it was.
static void accept_after_the_client_left(void) {
  struct sockaddr_in address, peer;
  int l = listener(&address);
  struct linger reset = {1, 0};
  for (int i = 0; i < 5; i++) {
    int client = connected(&address);
    CHECK(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    CHECK(close(client) == 0);
    sleep_ms(5);
    socklen_t size = sizeof peer;
    int server = accept(l, (struct sockaddr *)&peer, &size);
    CHECK(server >= 0 || errno == ECONNABORTED);
    if (server < 0) continue;
    char byte;
    CHECK(recv(server, &byte, 1, 0) <= 0);
    CHECK(close(server) == 0);
  }
}

static void receive_flags(void) {
  struct connection c = connection();
  char buffer[8] = {0};
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  CHECK(recv(c.client, buffer, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  CHECK(send(c.server, "abcd", 4, MSG_NOSIGNAL) == 4);
  CHECK(recv(c.client, buffer, 2, MSG_PEEK) == 2 && !memcmp(buffer, "ab", 2));
  CHECK(poll(&(struct pollfd){c.client, POLLIN, 0}, 1, 0) == 1);
  CHECK(recv(c.client, buffer, 8, MSG_PEEK) >= 2 && !memcmp(buffer, "ab", 2));
  CHECK(recv(c.client, buffer, 4, MSG_WAITALL) == 4 && !memcmp(buffer, "abcd", 4));
  CHECK(send(c.server, "ef", 2, 0) == 2);
  CHECK(recvfrom(c.client, buffer, 8, 0, (struct sockaddr *)&address, &size) == 2 && size == 0);
  CHECK(shutdown(c.server, SHUT_WR) == 0);
  CHECK(recv(c.client, buffer, 4, MSG_WAITALL) == 0);
}

static void receive_timeout(void) {
  struct connection c = connection();
  struct timeval time = {0, 40000};
  char byte;
  CHECK(setsockopt(c.client, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  uint64_t began = now_ms();
  CHECK(recv(c.client, &byte, 1, 0) == -1 && errno == EAGAIN);
  CHECK(now_ms() - began >= 39 && now_ms() - began < 2000);
  struct sockaddr_in address;
  int l = listener(&address);
  CHECK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK(accept(l, NULL, NULL) == -1 && errno == EAGAIN);
}

static void poll_after_a_full_receive(void) {
  struct connection c = connection();
  char buffer[8];
  struct pollfd fd = {c.client, POLLIN, 0};
  CHECK(poll(&fd, 1, 30) == 0);
  CHECK(send(c.server, "abc", 3, 0) == 3);
  CHECK(poll(&fd, 1, 1000) == 1 && recv(c.client, buffer, 8, 0) == 3);
  CHECK(poll(&fd, 1, 30) == 0);
}

static void *send_much(void *fd) {
  static char data[4 << 20];
  size_t done = 0;
  while (done < sizeof data) {
    ssize_t n = send((int)(intptr_t)fd, data + done, sizeof data - done, 0);
    CHECK(n > 0);
    done += n;
  }
  CHECK(close((int)(intptr_t)fd) == 0);  // nothing of it may get lost
  return NULL;
}

static void much_data_then_close(void) {
  struct connection c = connection();
  static char buffer[50000];
  size_t total = 0;
  pthread_t sender = start(send_much, (void *)(intptr_t)c.server);
  for (ssize_t n; (n = recv(c.client, buffer, sizeof buffer, 0)) > 0;) total += n;
  CHECK(total == 4 << 20);
  join(sender);
}

static void options(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, value;
  socklen_t size = sizeof value;
  static const struct {
    int level, name;
  } accepted[] = {
      {SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT}, {SOL_SOCKET, SO_KEEPALIVE},    {SOL_SOCKET, SO_BROADCAST},
      {SOL_SOCKET, SO_OOBINLINE}, {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_QUICKACK},
  };
  for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
    CHECK(setsockopt(fd, accepted[i].level, accepted[i].name, &one, sizeof one) == 0);
    CHECK(getsockopt(fd, accepted[i].level, accepted[i].name, &value, &size) == 0 && value == 1);
  }
  struct linger linger = {0, 0}, got;
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  size = sizeof got;
  CHECK(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &size) == 0 && !got.l_onoff && size == sizeof got);
  CHECK(setsockopt(fd, SOL_SOCKET, 9999, &one, sizeof one) == -1 && errno == ENOPROTOOPT);
  int udp = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(setsockopt(udp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
  CHECK(socket(AF_INET, SOCK_RAW, 0) == -1 && errno == EPROTONOSUPPORT);
  CHECK(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT);
}

static void ipv6_only(void) {
  int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1, zero = 0, value = 0;
  socklen_t size = sizeof value;
  if (fd < 0) return;  // a host without IPv6
  CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0);
  CHECK(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &size) == 0 && value == 1);
  CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == -1 && errno == EINVAL);
}

static const char *first_address(const char *host, int family, int flags) {
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found;
  static char text[64];
  if (getaddrinfo(host, "80", &hints, &found) != 0) return "none";
  CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0);
  freeaddrinfo(found);
  return text;
}

static void host_names(void) {
  CHECK(!strcmp(first_address(NULL, AF_UNSPEC, AI_PASSIVE), "0.0.0.0"));
  CHECK(!strcmp(first_address(NULL, AF_INET6, AI_PASSIVE), "::"));
  CHECK(!strcmp(first_address(NULL, AF_INET, 0), "127.0.0.1"));
  CHECK(!strcmp(first_address("10.1.2.3", AF_INET, AI_NUMERICHOST), "10.1.2.3"));
  CHECK(!strcmp(first_address("localhost", AF_INET, AI_NUMERICHOST), "none"));
  CHECK(!strcmp(first_address("10.1.2.3", AF_INET6, 0), "none"));
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *found;
  CHECK(getaddrinfo("127.0.0.1", "53", &hints, &found) == 0);
  CHECK(found->ai_socktype == SOCK_DGRAM && found->ai_protocol == IPPROTO_UDP);
  freeaddrinfo(found);
  struct hostent *host = gethostbyname("127.0.0.1");
  CHECK(host && host->h_addrtype == AF_INET && !memcmp(host->h_addr_list[0], "\x7f\0\0\1", 4) && !host->h_addr_list[1]);
  CHECK(!gethostbyname("no.such.host.invalid") && h_errno == HOST_NOT_FOUND);
  struct in_addr loop = {htonl(INADDR_LOOPBACK)}, other = {htonl(0x08080808)};
  host = gethostbyaddr(&loop, sizeof loop, AF_INET);
  CHECK(host && !strcmp(host->h_name, "localhost"));
  CHECK(!gethostbyaddr(&other, sizeof other, AF_INET) && !strcmp(hstrerror(h_errno), "Unknown host"));
  struct sockaddr_in address = loopback(8080);
  char service[8], tiny[4], name[64];
  CHECK(getnameinfo((struct sockaddr *)&address, sizeof address, NULL, 0, service, sizeof service, 0) == 0);
  CHECK(!strcmp(service, "8080"));
  CHECK(getnameinfo((struct sockaddr *)&address, sizeof address, tiny, 4, NULL, 0, 0) == EAI_OVERFLOW);
  CHECK(getnameinfo((struct sockaddr *)&address, sizeof address, NULL, 0, tiny, 4, 0) == EAI_OVERFLOW);
  CHECK(getnameinfo((struct sockaddr *)&address, sizeof address, name, 64, NULL, 0, NI_NAMEREQD) == EAI_NONAME);
  CHECK(gethostname(name, sizeof name) == 0 && !strcmp(name, "localhost"));
  setenv("HOSTNAME", "box", 1);
  CHECK(gethostname(name, sizeof name) == 0 && !strcmp(name, "box"));
  CHECK(gethostname(name, 3) == -1 && errno == ENAMETOOLONG);
}

static void poll_of_odd_sockets(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct pollfd fds[] = {{fd, POLLIN | POLLOUT, 0}, {-1, POLLIN, 9}, {500, POLLIN, 0}};
  CHECK(poll(fds, 3, 0) == 2);
  CHECK(fds[0].revents == (POLLOUT | POLLHUP) && fds[1].revents == 0 && fds[2].revents == POLLNVAL);
  CHECK(poll(NULL, 0, 20) == 0);
}

static void two_listeners_one_port(void) {
  struct sockaddr_in address;
  listener(&address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? listen(fd, 1) : -1;
  CHECK(error == -1 && errno == EADDRINUSE);
}

static void datagrams(void) {
  int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = loopback(0), from;
  socklen_t size = sizeof to;
  char buffer[16];
  CHECK(bind(a, (struct sockaddr *)&to, sizeof to) == 0);
  CHECK(getsockname(a, (struct sockaddr *)&to, &size) == 0);
  CHECK(sendto(b, "ping", 4, 0, (struct sockaddr *)&to, sizeof to) == 4);
  size = sizeof from;
  CHECK(recvfrom(a, buffer, 16, 0, (struct sockaddr *)&from, &size) == 4 && from.sin_port != 0);
  CHECK(sendto(a, "pong!", 5, 0, (struct sockaddr *)&from, sizeof from) == 5);
  CHECK(poll(&(struct pollfd){b, POLLIN, 0}, 1, 2000) == 1);
  CHECK(read(b, buffer, 16) == 5);
  CHECK(recv(b, buffer, 16, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static void *wait_for_datagram(void *fd) {
  char buffer[16];
  CHECK(recv((int)(intptr_t)fd, buffer, 16, 0) == 1);
  return NULL;
}

static void connect_datagrams(void) {
  int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = loopback(0), none = {.sin_family = AF_INET};
  socklen_t size = sizeof to;
  CHECK(bind(a, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(a, (struct sockaddr *)&to, &size) == 0);
  CHECK(connect(b, (struct sockaddr *)&to, sizeof to) == 0);
  CHECK(getpeername(b, (struct sockaddr *)&none, &size) == 0 && none.sin_port == to.sin_port);
  pthread_t waiter = start(wait_for_datagram, (void *)(intptr_t)a);
  sleep_ms(10);
  CHECK(connect(a, (struct sockaddr *)&to, sizeof to) == -1 && errno == EBUSY);
  CHECK(send(b, "x", 1, 0) == 1);
  join(waiter);
}

enum { POLLED = 40, POLLERS = 8 };
static int listeners[POLLED];

static void *poll_many(void *unused) {
  (void)unused;
  struct pollfd fds[POLLED];
  for (int round = 0; round < 20; round++) {
    int count = 1 + (round * 7 + (int)(uintptr_t)pthread_self() / 64) % POLLED;
    for (int i = 0; i < count; i++) fds[i] = (struct pollfd){listeners[i], POLLIN, 0};
    CHECK(poll(fds, count, 1 + round % 3) == 0);
  }
  return NULL;
}

static void many_pollers(void) {
  struct sockaddr_in address;
  pthread_t threads[POLLERS];
  for (int i = 0; i < POLLED; i++) listeners[i] = listener(&address);
  for (int i = 0; i < POLLERS; i++) threads[i] = start(poll_many, NULL);
  for (int i = 0; i < POLLERS; i++) join(threads[i]);
}

const struct test_case socket_cases[] = {
    {.name = "addresses_before_binding", .run = addresses_before_binding},
    {.name = "addresses_of_a_failed_connection", .run = addresses_of_a_failed_connection},
    {.name = "nonblocking_connect", .run = nonblocking_connect},
    {.name = "connecting_is_finished_by_use", .run = connecting_is_finished_by_use},
    {.name = "close_on_exec", .run = close_on_exec},
    {.name = "accept_gives_the_peer", .run = accept_gives_the_peer},
    {.name = "accept_after_the_client_left", .run = accept_after_the_client_left},
    {.name = "receive_flags", .run = receive_flags},
    {.name = "receive_timeout", .run = receive_timeout},
    {.name = "poll_after_a_full_receive", .run = poll_after_a_full_receive},
    {.name = "much_data_then_close", .run = much_data_then_close},
    {.name = "options", .run = options},
    {.name = "many_pollers", .run = many_pollers},
    {.name = "ipv6_only", .run = ipv6_only},
    {.name = "host_names", .run = host_names},
    {.name = "poll_of_odd_sockets", .run = poll_of_odd_sockets},
    {.name = "two_listeners_one_port", .run = two_listeners_one_port},
    {.name = "datagrams", .run = datagrams},
    {.name = "connect_datagrams", .run = connect_datagrams},
    {0},
};
