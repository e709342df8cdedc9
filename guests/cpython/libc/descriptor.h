// Descriptors: the table that replaces libc's own, and libc's internal interface to it.
//
// libc keeps {data, vtable} per descriptor and calls through the vtable. We keep one `description` per
// open file, as POSIX has it: several descriptors may share it (dup), it outlives close() while a thread
// is still inside a call on it, and its vtable is ours where libc's behaviour is not good enough.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <wasi/wasip2.h>

#include "coop.h"

// ---- libc's internal interface. The order of the members is the ABI of the pinned libc (link.toml).

struct poll_state;
struct stream_access {  // libc's wasi_read_t and wasi_write_t
  off_t *offset;
  bool blocking;
  uint64_t timeout;
  int32_t stream;
  poll_own_pollable_t *pollable;
};

struct vtable {
  void (*free)(void *);
  int (*get_read_stream)(void *, struct stream_access *);
  int (*get_write_stream)(void *, struct stream_access *);
  int (*set_blocking)(void *, bool);
  int (*fstat)(void *, struct stat *);
  int (*get_file)(void *, filesystem_borrow_descriptor_t *);
  off_t (*seek)(void *, off_t, int);
  void (*close_streams)(void *);
  int (*fcntl_getfl)(void *);
  int (*fcntl_setfl)(void *, int);
  int (*isatty)(void *);
  int (*accept4)(void *, struct sockaddr *, socklen_t *, int);
  int (*bind)(void *, const struct sockaddr *, socklen_t);
  int (*connect)(void *, const struct sockaddr *, socklen_t);
  int (*getsockname)(void *, struct sockaddr *, socklen_t *);
  int (*getpeername)(void *, struct sockaddr *, socklen_t *);
  int (*listen)(void *, int);
  ssize_t (*recvfrom)(void *, void *, size_t, int, struct sockaddr *, socklen_t *);
  ssize_t (*sendto)(void *, const void *, size_t, int, const struct sockaddr *, socklen_t);
  int (*shutdown)(void *, int);
  int (*getsockopt)(void *, int, int, void *, socklen_t *);
  int (*setsockopt)(void *, int, int, const void *, socklen_t);
  int (*poll_register)(void *, struct poll_state *, short);
  int (*poll_finish)(void *, struct poll_state *, short);
};

struct entry {
  void *data;
  const struct vtable *vtable;
};

ssize_t __wasilibc_read(struct stream_access *, void *, size_t);
ssize_t __wasilibc_write(struct stream_access *, const void *, size_t);
int __wasilibc_poll_add(struct poll_state *, short, poll_borrow_pollable_t);
void __wasilibc_poll_ready(struct poll_state *, short);

// ---- Open files

enum { KEPT_OPTIONS = 6 };

struct description {
  struct entry entry;              // first: libc holds a pointer to it
  const struct vtable *libc;       // how libc itself serves `data`; null for what only we know
  unsigned descriptors;            // how many descriptors name it
  struct operation *operations;    // threads inside a call on it
  struct coop_queue file_turn;     // io.c: threads that wait for their turn with a file
  bool file_busy;
  bool end_shared;                 // of a file: each write goes to its end, wherever that is by then (process.c)
  bool nonblocking;                // O_NONBLOCK, of sockets and pairs
  uint64_t receive_timeout, send_timeout;  // nanoseconds; 0 = none
  char *peeked;  // what MSG_PEEK or FIONREAD has read ahead: the host's streams cannot be looked into without taking from them
  size_t peeked_size;
  int kept_options[KEPT_OPTIONS];  // socket.c
  struct linger linger;
};

// A thread inside a call that may park. It lives in the caller's frame.
struct operation {
  struct description *description;
  struct __pthread *thread;
  bool closed;  // the last descriptor was closed meanwhile: give up with EBADF
  struct operation *next, *previous;
};

// Null, with EBADF, if the descriptor is not open.
struct description *description_of(int fd);
// The description of the descriptor that libc has just looked up, for our vtables: they are called
// with libc's `data`, which does not lead back to it.
struct description *description_called(void);
// Gives the description (and what it holds) the lowest free descriptor at or above `minimum`. On failure
// the description is destroyed.
int descriptor_new(struct description *description, int minimum);
void descriptor_set_close_on_exec(int fd);
struct description *description_new(void *data, const struct vtable *vtable);

void operation_begin(struct operation *operation, struct description *description);
// Returns `result`, or -1 with EBADF if the file was closed under a call that failed.
ssize_t operation_end(struct operation *operation, ssize_t result);

// ---- Between the files of this directory

// Replace what libc does badly for this kind of file (sockets: socket.c, standard streams: stdio.c).
void socket_adopt(struct description *description);
void socket_forget_network(void);
void stdio_adopt(struct description *description);
void file_adopt(struct description *description);
int fail(int error);  // sets errno, returns -1

// Whether poll() would find something ready that libc and the host know nothing of.
short events_known_here(const struct description *description, short events);
// Wait until one of `events` holds. Returns revents, 0 when the deadline came first, or -1.
int poll_description(struct description *description, short events, uint64_t deadline);

// Takes of what was read ahead, or gives it and keeps it.
ssize_t take_peeked(struct description *description, void *buffer, size_t size, bool keep);
// How many bytes can be read at once of a terminal or a pipe. 0, or -1.
int count_readable(struct description *description, int *count);

// Whether the socket's connection could not be made.
bool socket_failed(struct description *description);

// Socket options (options.c).
int give_option(void *value, socklen_t *size, const void *source, socklen_t full);
int give_number(void *value, socklen_t *size, int source);
int get_timeout(uint64_t timeout, void *value, socklen_t *size);
int set_timeout(uint64_t *timeout, const void *value, socklen_t size);

// lock.c
void locks_changed(void);  // a file was closed: locks of it are gone
struct flock;
int record_lock(struct description *description, int command, struct flock *lock);

// terminal.c
struct winsize;
int terminal_size(int fd, struct winsize *size);

// What a device (device.c) does beyond libc's vtable; writing to one always succeeds.
bool is_device(const struct description *description);
// Fills `status` in if a device has this path.
bool device_stat(const char *path, struct stat *status);
ssize_t device_read(struct description *description, void *buffer, size_t size);

// What a pair (pair.c) does beyond libc's vtable.
bool is_pair(const struct description *description);
size_t pair_readable(const struct description *description);
short pair_events(const struct description *description, short events);
// Wakes the thread, wherever it is parked, when the pair may have become ready.
struct poll_waiter {
  struct __pthread *thread;
  struct poll_waiter *next, **link;
};
void pair_poll_begin(struct description *description, short events, struct poll_waiter waiters[2]);
void pair_poll_end(struct poll_waiter waiters[2]);
ssize_t pair_read(struct description *description, void *buffer, size_t size, bool nonblocking);
ssize_t pair_write(struct description *description, const void *buffer, size_t size, bool nonblocking);
