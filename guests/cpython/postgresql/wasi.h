// Force-included into libpq: what this libc's headers leave out, as a program sees it that runs alone, as root, without signals.
#pragma once

#include "posix.h"
#include <errno.h>
#include <signal.h>

#define EHOSTDOWN 112

// Named sockets of the file system: there are none, and connecting to one fails.
#define sockaddr_un wasi_sockaddr_un
#include <sys/socket.h>
#include <sys/un.h>
#undef sockaddr_un
struct sockaddr_un {
  sa_family_t sun_family;
  char sun_path[108];
};

// Writing to a closed connection is an error here and no signal: nothing is to be held back.
#define SIG_BLOCK 0
#define SIG_SETMASK 2
#define sigemptyset(set) ((void)(set), 0)
#define sigaddset(set, signal) ((void)(set), 0)
#define sigismember(set, signal) 0
#define sigpending(set) ((void)(set), 0)
#define sigwait(set, signal) ((void)(set), *(signal) = 0)
#define pthread_sigmask(how, set, old) ((void)(old), 0)
