// Loopback connections for the cases.
#pragma once

#include "ctest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static inline struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int listener(struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t size = sizeof *address;
  *address = loopback(0);
  CHECK(fd >= 0);
  CHECK(bind(fd, (struct sockaddr *)address, size) == 0);
  CHECK(listen(fd, 16) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0 && address->sin_port != 0);
  return fd;
}

static inline int connected(const struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0);
  CHECK(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
  return fd;
}

struct connection {
  int client, server;
};

static inline struct connection connection(void) {
  struct sockaddr_in address;
  int l = listener(&address);
  struct connection c = {.client = connected(&address)};
  CHECK((c.server = accept(l, NULL, NULL)) >= 0);
  CHECK(close(l) == 0);
  return c;
}

static inline bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
