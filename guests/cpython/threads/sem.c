// Semaphores. Of those without a name a post with somebody waiting passes the unit straight to the first waiter, so that a
// thread that comes by later cannot take it away. Those with a name are the host's: the program's processes share them.
#include "coop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("pywasm:guest/processes@0.1.0"), import_name(name)))
enum creation { EXISTING, NEW, EITHER };
struct opened {
  uint8_t some;
  int32_t handle;
};
IMPORT("open-semaphore")
void host_open(const char *name, size_t size, int32_t creation, uint32_t value, struct opened *);
IMPORT("unlink-semaphore") int32_t host_unlink(const char *name, size_t size);
IMPORT("[resource-drop]semaphore") void host_close(int32_t);
IMPORT("[method]semaphore.take") int32_t host_take_one(int32_t);
IMPORT("[method]semaphore.give") int32_t host_give_one(int32_t);
IMPORT("[method]semaphore.value") uint32_t host_value(int32_t);
IMPORT("[method]semaphore.subscribe") int32_t host_subscribe_one(int32_t);

struct sem {
  unsigned value;
  struct coop_queue waiters;
  int32_t named;  // the host's handle of it; 0 = none
};
_Static_assert(sizeof(struct sem) <= sizeof(sem_t), "sem_t is too small");

static int fail(int error) {
  errno = error;
  return -1;
}

int sem_init(sem_t *object, int shared, unsigned value) {
  (void)shared;  // there is no other process to share with
  if (value > INT_MAX) return fail(EINVAL);
  memset(object, 0, sizeof *object);
  ((struct sem *)object)->value = value;
  return 0;
}

int sem_destroy(sem_t *object) { return ((struct sem *)object)->waiters.head ? fail(EBUSY) : 0; }

int sem_trywait(sem_t *object) {
  struct sem *sem = (struct sem *)object;
  if (sem->named) return host_take_one(sem->named) ? 0 : fail(EAGAIN);
  if (!sem->value) return fail(EAGAIN);
  sem->value--;
  return 0;
}

static int wait_for_named(struct sem *sem, uint64_t deadline) {
  while (!host_take_one(sem->named)) {
    poll_own_pollable_t given = {host_subscribe_one(sem->named)};
    poll_borrow_pollable_t pollable = poll_borrow_pollable(given);
    bool ready;
    struct coop_io io = {&pollable, 1, &ready};
    bool in_time = coop_park_interruptibly(NULL, deadline, &io);
    poll_pollable_drop_own(given);
    if (coop_self->interrupted) return fail(EINTR);
    if (!in_time) return fail(ETIMEDOUT);
  }
  return 0;
}

static int wait_until(struct sem *sem, uint64_t deadline) {
  if (sem->named) return wait_for_named(sem, deadline);
  if (sem->value) {
    sem->value--;
    return 0;
  }
  bool in_time = coop_park_interruptibly(&sem->waiters, deadline, NULL);
  if (coop_self->interrupted) return fail(EINTR);
  return in_time ? 0 : fail(ETIMEDOUT);
}

int sem_wait(sem_t *object) { return wait_until((struct sem *)object, COOP_FOREVER); }

int sem_clockwait(sem_t *restrict object, clockid_t clock, const struct timespec *restrict time) {
  uint64_t deadline;
  if (sem_trywait(object) == 0) return 0;
  int error = coop_deadline(clock, time, &deadline);
  return error ? fail(error) : wait_until((struct sem *)object, deadline);
}

int sem_timedwait(sem_t *restrict object, const struct timespec *restrict time) {
  return sem_clockwait(object, CLOCK_REALTIME, time);
}

int sem_post(sem_t *object) {
  struct sem *sem = (struct sem *)object;
  if (sem->named) return host_give_one(sem->named) ? 0 : fail(EOVERFLOW);
  if (coop_wake_first(&sem->waiters)) return 0;
  if (sem->value == INT_MAX) return fail(EOVERFLOW);
  sem->value++;
  return 0;
}

int sem_getvalue(sem_t *restrict object, int *restrict value) {
  struct sem *sem = (struct sem *)object;
  *value = (int)(sem->named ? host_value(sem->named) : sem->value);
  return 0;
}

sem_t *sem_open(const char *name, int flags, ...) {
  unsigned value = 0;
  if (flags & O_CREAT) {
    va_list rest;
    va_start(rest, flags);
    (void)va_arg(rest, int);  // the mode: all processes are one user's
    value = va_arg(rest, unsigned);
    va_end(rest);
  }
  enum creation creation = !(flags & O_CREAT) ? EXISTING : flags & O_EXCL ? NEW : EITHER;
  struct opened opened;
  host_open(name, strlen(name), creation, value, &opened);
  if (!opened.some) {
    errno = creation == EXISTING ? ENOENT : creation == NEW ? EEXIST : ENOSPC;
    return SEM_FAILED;
  }
  sem_t *object = calloc(1, sizeof *object);
  if (!object) {
    host_close(opened.handle);
    errno = ENOMEM;
    return SEM_FAILED;
  }
  ((struct sem *)object)->named = opened.handle;
  return object;
}

int sem_close(sem_t *object) {
  host_close(((struct sem *)object)->named);
  free(object);
  return 0;
}

int sem_unlink(const char *name) { return host_unlink(name, strlen(name)) ? 0 : fail(ENOENT); }
