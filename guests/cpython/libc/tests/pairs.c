// pipe() and socketpair().
#include "net.h"

#include <sys/select.h>
#include <sys/time.h>

static void pipe_carries_bytes(void) {
  int fds[2];
  char buffer[8];
  struct stat status;
  CHECK(pipe(fds) == 0);
  CHECK(write(fds[1], "hello", 5) == 5 && read(fds[0], buffer, 3) == 3 && read(fds[0], buffer, 8) == 2);
  CHECK(write(fds[0], "x", 1) == -1 && errno == EBADF);
  CHECK(read(fds[1], buffer, 1) == -1 && errno == EBADF);
  CHECK(recv(fds[0], buffer, 1, 0) == -1);
  CHECK(fstat(fds[0], &status) == 0 && S_ISFIFO(status.st_mode));
  CHECK(lseek(fds[0], 0, SEEK_CUR) == -1 && errno == ESPIPE);
  CHECK(isatty(fds[0]) == 0);
}

static void pipe_end_of_file(void) {
  int fds[2];
  char buffer[8];
  CHECK(pipe(fds) == 0);
  CHECK(write(fds[1], "last", 4) == 4 && close(fds[1]) == 0);
  CHECK(read(fds[0], buffer, 8) == 4 && read(fds[0], buffer, 8) == 0 && read(fds[0], buffer, 8) == 0);
  CHECK(close(fds[0]) == 0 && pipe(fds) == 0 && close(fds[0]) == 0);
  CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
}

static void pipe_nonblocking(void) {
  int fds[2];
  static char block[100000];
  CHECK(pipe2(fds, O_NONBLOCK) == 0);
  CHECK(read(fds[0], block, 1) == -1 && errno == EAGAIN);
  CHECK(write(fds[1], block, 60000) == 60000);
  CHECK(write(fds[1], block, 100000) == 65536 - 60000);
  CHECK(write(fds[1], block, 1) == -1 && errno == EAGAIN);
  CHECK(read(fds[0], block, 100) == 100);
  CHECK(write(fds[1], block, 200) == -1 && errno == EAGAIN);  // small writes go whole or not at all
  CHECK(write(fds[1], block, 100) == 100);
  CHECK(pipe2(fds, 0x123400) == -1 && errno == EINVAL);
}

enum { MUCH = 300000 };

static void *write_much(void *fd) {
  static unsigned char data[MUCH];
  for (int i = 0; i < MUCH; i++) data[i] = i * 7;
  CHECK(write((int)(intptr_t)fd, data, MUCH) == MUCH);
  CHECK(close((int)(intptr_t)fd) == 0);
  return NULL;
}

static void pipe_blocks_and_wraps(void) {
  int fds[2], total = 0;
  unsigned char buffer[1000];
  CHECK(pipe(fds) == 0);
  pthread_t writer = start(write_much, (void *)(intptr_t)fds[1]);
  for (ssize_t n; (n = read(fds[0], buffer, 1 + total % 999)) > 0;)
    for (ssize_t i = 0; i < n; i++, total++) CHECK(buffer[i] == (unsigned char)(total * 7));
  CHECK(total == MUCH);
  join(writer);
}

static void *close_later(void *fd) {
  sleep_ms(20);
  CHECK(close((int)(intptr_t)fd) == 0);
  return NULL;
}

static void pipe_wakes_on_close(void) {
  int fds[2];
  static char block[70000];
  CHECK(pipe(fds) == 0);
  pthread_t closer = start(close_later, (void *)(intptr_t)fds[1]);
  CHECK(read(fds[0], block, 1) == 0);
  join(closer);
  CHECK(pipe(fds) == 0);
  closer = start(close_later, (void *)(intptr_t)fds[0]);
  CHECK(write(fds[1], block, sizeof block) == 65536);  // what went in before the reader left
  CHECK(write(fds[1], block, 1) == -1 && errno == EPIPE);
  join(closer);
}

static void *write_later(void *fd) {
  sleep_ms(30);
  CHECK(write((int)(intptr_t)fd, "x", 1) == 1);
  return NULL;
}

static void pipe_in_poll(void) {
  int fds[2];
  char buffer[8];
  CHECK(pipe(fds) == 0);
  struct pollfd both[] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}};
  CHECK(poll(both, 2, -1) == 1 && both[0].revents == 0 && both[1].revents == POLLOUT);
  uint64_t began = now_ms();
  CHECK(poll(both, 1, 30) == 0 && now_ms() - began >= 29);
  pthread_t writer = start(write_later, (void *)(intptr_t)fds[1]);
  CHECK(poll(both, 1, -1) == 1 && both[0].revents == POLLIN);
  join(writer);
  CHECK(read(fds[0], buffer, 8) == 1);
  CHECK(close(fds[1]) == 0);
  CHECK(poll(both, 1, -1) == 1 && both[0].revents & POLLHUP);
  CHECK(poll(&both[1], 1, 0) == 1 && both[1].revents == POLLNVAL);
}

// A self-pipe among sockets: how event loops are woken from another thread.
static void pipe_and_socket_in_poll(void) {
  int fds[2];
  struct connection c = connection();
  CHECK(pipe(fds) == 0);
  struct pollfd both[] = {{c.client, POLLIN, 0}, {fds[0], POLLIN, 0}};
  pthread_t writer = start(write_later, (void *)(intptr_t)fds[1]);
  CHECK(poll(both, 2, 5000) == 1 && both[1].revents == POLLIN && both[0].revents == 0);
  join(writer);
  writer = start(write_later, (void *)(intptr_t)c.server);
  CHECK(poll(both, 1, 5000) == 1 && both[0].revents == POLLIN);
  join(writer);
  CHECK(poll(both, 2, 5000) == 2);
}

static void pipe_in_select(void) {
  int fds[2];
  CHECK(pipe(fds) == 0);
  fd_set reads, writes;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_SET(fds[0], &reads);
  FD_SET(fds[1], &writes);
  CHECK(select(fds[1] + 1, &reads, &writes, NULL, NULL) == 1);
  CHECK(!FD_ISSET(fds[0], &reads) && FD_ISSET(fds[1], &writes));
  FD_SET(fds[0], &reads);
  struct timeval time = {0, 20000};
  CHECK(select(fds[0] + 1, &reads, NULL, NULL, &time) == 0);
  FD_SET(fds[0], &reads);
  FD_SET(60, &reads);
  CHECK(select(61, &reads, NULL, NULL, &time) == -1 && errno == EBADF);
}

static void socketpair_is_a_socket(void) {
  static const int families[] = {AF_UNIX, AF_INET};
  for (int i = 0; i < 2; i++) {
    int fds[2], value;
    char buffer[8];
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    CHECK(socketpair(families[i], SOCK_STREAM, 0, fds) == 0);
    CHECK(send(fds[0], "ab", 2, 0) == 2 && recv(fds[1], buffer, 8, MSG_PEEK) == 2 && read(fds[1], buffer, 8) == 2);
    CHECK(write(fds[1], "cd", 2) == 2 && recv(fds[0], buffer, 8, 0) == 2);
    CHECK(recv(fds[0], buffer, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(getsockname(fds[0], (struct sockaddr *)&address, &size) == 0 && address.ss_family == families[i]);
    size = sizeof value;
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &value, &size) == 0 && value == SOCK_STREAM);
    CHECK(shutdown(fds[0], SHUT_WR) == 0);
    CHECK(recv(fds[1], buffer, 8, 0) == 0);
    CHECK(send(fds[0], "x", 1, 0) == -1 && errno == EPIPE);
    CHECK(send(fds[1], "y", 1, 0) == 1 && recv(fds[0], buffer, 8, 0) == 1);
    CHECK(close(fds[1]) == 0 && recv(fds[0], buffer, 8, 0) == 0);
  }
  int fds[2];
  CHECK(socketpair(AF_INET6, SOCK_STREAM, 0, fds) == -1 && errno == EAFNOSUPPORT);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == -1 && errno == EPROTOTYPE);
}

static void socketpair_timeouts(void) {
  int fds[2];
  char buffer[8];
  struct timeval time = {0, 30000}, got;
  socklen_t size = sizeof got;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  CHECK(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK(getsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &got, &size) == 0 && got.tv_sec == 0 && got.tv_usec == 30000);
  uint64_t began = now_ms();
  CHECK(recv(fds[0], buffer, 8, 0) == -1 && errno == EAGAIN && now_ms() - began >= 29);
}

static void pairs_do_not_leak(void) {
  char *before = NULL;
  for (int i = 0; i < 2000; i++) {
    int fds[2];
    if (i == 20) before = sbrk(0);
    CHECK((i % 2 ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds)) == 0);
    CHECK(write(fds[1], "x", 1) == 1 && close(fds[i % 4 / 2]) == 0 && close(fds[1 - i % 4 / 2]) == 0);
  }
  CHECK((char *)sbrk(0) - before <= 65536 && pywasm_open_descriptors() == 0);
}

const struct test_case pair_cases[] = {
    {.name = "pipe_carries_bytes", .run = pipe_carries_bytes},
    {.name = "pipe_end_of_file", .run = pipe_end_of_file},
    {.name = "pipe_nonblocking", .run = pipe_nonblocking},
    {.name = "pipe_blocks_and_wraps", .run = pipe_blocks_and_wraps},
    {.name = "pipe_wakes_on_close", .run = pipe_wakes_on_close},
    {.name = "pipe_in_poll", .run = pipe_in_poll},
    {.name = "pipe_and_socket_in_poll", .run = pipe_and_socket_in_poll},
    {.name = "pipe_in_select", .run = pipe_in_select},
    {.name = "socketpair_is_a_socket", .run = socketpair_is_a_socket},
    {.name = "socketpair_timeouts", .run = socketpair_timeouts},
    {.name = "pairs_do_not_leak", .run = pairs_do_not_leak},
    {0},
};
