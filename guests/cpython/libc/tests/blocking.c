// Blocking calls with other threads about: they run meanwhile, and may close what the caller waits on.
#include "net.h"

#include <netdb.h>
#include <sys/select.h>

struct call {
  int fd;
  int result, error;
  bool began;
};

#define BLOCKED_IN(name, expression) \
  static void *name(void *argument) { \
    struct call *call = argument; \
    char buffer[64]; \
    (void)buffer; \
    call->began = true; \
    call->result = (expression); \
    call->error = errno; \
    return NULL; \
  }

BLOCKED_IN(in_accept, accept(call->fd, NULL, NULL))
BLOCKED_IN(in_recv, recv(call->fd, buffer, sizeof buffer, 0))
BLOCKED_IN(in_read, read(call->fd, buffer, sizeof buffer))
BLOCKED_IN(in_recvfrom, recvfrom(call->fd, buffer, sizeof buffer, 0, NULL, NULL))
BLOCKED_IN(in_poll, poll(&(struct pollfd){call->fd, POLLIN, 0}, 1, -1))

static int send_until_stuck(int fd) {
  static char block[65536];
  for (;;)
    if (send(fd, block, sizeof block, 0) < 0) return -1;
}
BLOCKED_IN(in_send, send_until_stuck(call->fd))

static struct call close_under(void *(*blocked)(void *), int fd) {
  struct call call = {.fd = fd};
  heart_start();
  pthread_t thread = start(blocked, &call);
  sleep_ms(60);
  CHECK(call.began && heart_beats >= 2);  // the others ran while it was blocked
  CHECK(close(fd) == 0);
  join(thread);
  heart_stop();
  CHECK(!is_open(fd));
  return call;
}

static void fails_with_ebadf(void *(*blocked)(void *), int fd) {
  struct call call = close_under(blocked, fd);
  CHECK(call.result == -1 && call.error == EBADF);
}

static void close_under_accept(void) {
  struct sockaddr_in address;
  fails_with_ebadf(in_accept, listener(&address));
}

static void close_under_recv(void) {
  struct connection c = connection();
  fails_with_ebadf(in_recv, c.client);
  c = connection();
  fails_with_ebadf(in_read, c.server);
}

static void close_under_send(void) {
  struct connection c = connection();
  fails_with_ebadf(in_send, c.client);
}

static void close_under_udp(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = loopback(0);
  CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
  fails_with_ebadf(in_recvfrom, fd);
}

static void close_under_pair(void) {
  int fds[2];
  CHECK(pipe(fds) == 0);
  fails_with_ebadf(in_read, fds[0]);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  fails_with_ebadf(in_recv, fds[0]);
}

static void close_under_poll(void) {
  struct connection c = connection();
  struct call call = close_under(in_poll, c.client);
  CHECK(call.result == 1);  // POLLNVAL
  struct sockaddr_in address;
  call = close_under(in_poll, listener(&address));
  CHECK(call.result == 1);
  int fds[2];
  CHECK(pipe(fds) == 0);
  CHECK(close_under(in_poll, fds[0]).result == 1);
}

// A duplicate keeps the file open: closing one descriptor disturbs nobody.
static void close_of_a_duplicate(void) {
  struct connection c = connection();
  int copy = dup(c.client);
  struct call call = {.fd = copy};
  pthread_t thread = start(in_recv, &call);
  sleep_ms(20);
  CHECK(close(c.client) == 0);
  sleep_ms(20);
  CHECK(send(c.server, "hello", 5, 0) == 5);
  join(thread);
  CHECK(call.result == 5);
}

static void two_threads_one_socket(void) {
  struct connection c = connection();
  struct call one = {.fd = c.client}, two = {.fd = c.client};
  pthread_t a = start(in_recv, &one), b = start(in_recv, &two);
  sleep_ms(20);
  CHECK(send(c.server, "x", 1, 0) == 1);
  sleep_ms(20);
  CHECK(shutdown(c.server, SHUT_WR) == 0);
  join(a);
  join(b);
  CHECK(one.result + two.result == 1);
}

static void shutdown_wakes_reader(void) {
  struct connection c = connection();
  struct call call = {.fd = c.client};
  pthread_t thread = start(in_recv, &call);
  sleep_ms(20);
  CHECK(shutdown(c.client, SHUT_RD) == 0);
  join(thread);
  CHECK(call.result == 0);
}

static void *echo(void *fd) {
  char buffer[64];
  for (ssize_t n; (n = recv((int)(intptr_t)fd, buffer, sizeof buffer, 0)) > 0;)
    CHECK(send((int)(intptr_t)fd, buffer, n, 0) == n);
  CHECK(close((int)(intptr_t)fd) == 0);
  return NULL;
}

static struct sockaddr_in server_address;

static void *ask(void *id) {
  int fd = connected(&server_address);
  char sent[32], received[32];
  for (int i = 0; i < 5; i++) {
    int size = snprintf(sent, sizeof sent, "%d/%d", (int)(intptr_t)id, i);
    CHECK(send(fd, sent, size, 0) == size);
    CHECK(recv(fd, received, size, MSG_WAITALL) == size && !memcmp(sent, received, size));
  }
  CHECK(close(fd) == 0);
  return NULL;
}

static void server_with_50_clients(void) {
  static pthread_t clients[50], handlers[50];
  int l = listener(&server_address);
  heart_start();
  for (int i = 0; i < 50; i++) clients[i] = start(ask, (void *)(intptr_t)i);
  for (int i = 0; i < 50; i++) {
    int fd = accept(l, NULL, NULL);
    CHECK(fd >= 0);
    handlers[i] = start(echo, (void *)(intptr_t)fd);
  }
  for (int i = 0; i < 50; i++) join(clients[i]), join(handlers[i]);
  heart_stop();
}

static void stdin_lets_others_run(void) {
  char buffer[16];
  heart_start();
  CHECK(read(0, buffer, sizeof buffer) == 5 && !memcmp(buffer, "late\n", 5));
  CHECK(heart_beats >= 8);
  CHECK(read(0, buffer, sizeof buffer) == 0);
  heart_stop();
}

static void stdin_by_file(void) {
  char line[16];
  heart_start();
  CHECK(fgets(line, sizeof line, stdin) && !strcmp(line, "late\n"));
  CHECK(heart_beats >= 8);
  CHECK(!fgets(line, sizeof line, stdin));
  heart_stop();
}

static void stdin_by_poll(void) {
  struct pollfd fd = {0, POLLIN, 0};
  CHECK(poll(&fd, 1, 0) == 0);
  uint64_t began = now_ms();
  CHECK(poll(&fd, 1, 50) == 0 && now_ms() - began >= 49);
  CHECK(poll(&fd, 1, 5000) == 1 && fd.revents == POLLIN);
}

static void stdin_nonblocking(void) {
  char buffer[8];
  CHECK(fcntl(0, F_SETFL, O_NONBLOCK) == 0 && fcntl(0, F_GETFL) == (O_RDONLY | O_NONBLOCK));
  CHECK(read(0, buffer, 8) == -1 && errno == EAGAIN);
  CHECK(fcntl(0, F_SETFL, 0) == 0);
  CHECK(read(0, buffer, 8) == 5);
}

static void *print_lines(void *unused) {
  (void)unused;
  for (int i = 0; i < 200; i++) printf("# a line of text that is long enough to matter\n");
  return NULL;
}

static void printing_from_threads(void) {
  pthread_t threads[5];
  for (int i = 0; i < 5; i++) threads[i] = start(print_lines, NULL);
  for (int i = 0; i < 5; i++) join(threads[i]);
}

static void name_lookup_lets_others_run(void) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  heart_start();
  sleep_ms(10);
  CHECK(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0 && found);
  freeaddrinfo(found);
  heart_stop();
}

const struct test_case blocking_cases[] = {
    {.name = "close_under_accept", .run = close_under_accept},
    {.name = "close_under_recv", .run = close_under_recv},
    {.name = "close_under_send", .run = close_under_send},
    {.name = "close_under_udp", .run = close_under_udp},
    {.name = "close_under_pair", .run = close_under_pair},
    {.name = "close_under_poll", .run = close_under_poll},
    {.name = "close_of_a_duplicate", .run = close_of_a_duplicate},
    {.name = "two_threads_one_socket", .run = two_threads_one_socket},
    {.name = "shutdown_wakes_reader", .run = shutdown_wakes_reader},
    {.name = "server_with_50_clients", .run = server_with_50_clients},
    {.name = "stdin_lets_others_run", .run = stdin_lets_others_run, .needs = "stdin"},
    {.name = "stdin_by_file", .run = stdin_by_file, .needs = "stdin"},
    {.name = "stdin_by_poll", .run = stdin_by_poll, .needs = "stdin"},
    {.name = "stdin_nonblocking", .run = stdin_nonblocking, .needs = "stdin"},
    {.name = "printing_from_threads", .run = printing_from_threads},
    {.name = "name_lookup_lets_others_run", .run = name_lookup_lets_others_run},
    {0},
};
