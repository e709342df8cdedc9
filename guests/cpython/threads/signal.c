// Signals. The host tells us of those that were sent to the program; we give them to C's handlers.
//
// As POSIX allows, every signal is taken by the main thread: when it leaves coop_park(), or at a tick. A call that a
// signal is to end parks through coop_park_interruptibly(). C's handlers (CPython has one, which takes notes) run with
// the scheduler in order and may wake threads, but not park.
#define _WASI_EMULATED_SIGNAL  // handlers are kept, and run, by libc's emulation
#include "coop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "../libc/posix.h"

#define IMPORT(name) __attribute__((import_module("pywasm:guest/signals@0.1.0"), import_name(name)))
IMPORT("take") int32_t host_take(void);  // the number of a signal, or 0
IMPORT("subscribe") int32_t host_subscribe(void);

__attribute__((import_module("pywasm:guest/processes@0.1.0"), import_name("killed"))) void host_killed(int32_t number);

static poll_own_pollable_t arrival;
static uint64_t alarm_at = COOP_FOREVER, alarm_interval;  // of ITIMER_REAL; without an interval it comes once
static uint64_t waiting;  // signals that have come and are not handled yet, as bits

poll_borrow_pollable_t coop_signal_pollable(void) {
  if (!arrival.__handle) arrival.__handle = host_subscribe();
  return poll_borrow_pollable(arrival);
}

void coop_signal_forget(void) {
  if (arrival.__handle) poll_pollable_drop_own(arrival);
  arrival.__handle = 0;
}

uint64_t coop_signal_alarm(void) { return alarm_at; }

static int fail(int error) {
  errno = error;
  return -1;
}

static _Noreturn void end_by(int number) {
  host_killed(number);
  _Exit(128 + number);
}

static void note(int number) { waiting |= 1ull << number; }

void coop_signal_look(void) {
  for (int number; (number = host_take()) != 0;)
    if (number == SIGKILL)
      end_by(SIGKILL);
    else
      note(number);
  if (alarm_at != COOP_FOREVER && coop_now() >= alarm_at) {
    alarm_at = alarm_interval ? coop_after(alarm_interval) : COOP_FOREVER;
    note(SIGALRM);
  }
  struct __pthread *main = &coop_main_thread;
  if (!waiting || main->state != COOP_PARKED || !main->interruptible) return;
  main->interrupted = true;
  coop_make_ready(main);
}

bool coop_signal_deliver(void) {
  if (coop_self != &coop_main_thread || !waiting) return false;
  int error = errno;
  while (waiting) {
    int number = __builtin_ctzll(waiting);
    waiting &= waiting - 1;
    raise(number);
  }
  errno = error;
  return true;
}

bool coop_park_interruptibly(struct coop_queue *queue, uint64_t deadline, struct coop_io *io) {
  struct __pthread *me = coop_self;
  if ((me->interrupted = coop_signal_deliver())) return true;
  me->interruptible = me == &coop_main_thread;
  bool in_time = coop_park(queue, deadline, io);
  me->interruptible = false;
  return in_time;
}

// ---- What programs call

static void ignore(int number) { (void)number; }

static bool has_default_action(int number) {
  void (*handler)(int) = signal(number, ignore);
  if (handler == SIG_ERR) return true;  // nobody can change what SIGKILL and SIGSTOP do
  signal(number, handler);
  return handler == SIG_DFL;
}

static bool is_ignored_by_default(int number) {
  return number == SIGCHLD || number == SIGURG || number == SIGWINCH || number == SIGCONT;
}

int __real_raise(int number);

// libc's own ends the program with a message and a trap.
int __wrap_raise(int number) {
  if (number <= 0 || number >= _NSIG) return fail(EINVAL);
  if (!has_default_action(number)) return __real_raise(number);
  if (is_ignored_by_default(number)) return 0;
  end_by(number);
}

int coop_signal_send(int number) {
  if (coop_self == &coop_main_thread || number <= 0 || number >= _NSIG || has_default_action(number)) return raise(number);
  note(number);
  coop_signal_look();
  return 0;
}

static const uint64_t NS_PER_S = 1000000000, NS_PER_US = 1000;

// Until the alarm, and not 0 while one is due.
static uint64_t alarm_left(void) {
  uint64_t now = coop_now();
  return alarm_at == COOP_FOREVER ? 0 : alarm_at <= now ? 1 : alarm_at - now;
}

unsigned alarm(unsigned seconds) {
  unsigned left = (alarm_left() + NS_PER_S - 1) / NS_PER_S;
  alarm_at = seconds ? coop_after(seconds * NS_PER_S) : COOP_FOREVER;
  alarm_interval = 0;
  return left;
}

static struct timeval time_of(uint64_t nanoseconds) {
  uint64_t microseconds = (nanoseconds + NS_PER_US - 1) / NS_PER_US;
  return (struct timeval){microseconds / 1000000, microseconds % 1000000};
}

static bool is_time(struct timeval time) { return time.tv_sec >= 0 && time.tv_usec >= 0 && time.tv_usec < 1000000; }

static uint64_t nanoseconds_of(struct timeval time) {
  if ((uint64_t)time.tv_sec >= COOP_FOREVER / NS_PER_S - 1) return COOP_FOREVER;
  return time.tv_sec * NS_PER_S + time.tv_usec * NS_PER_US;
}

// The time of the processor is the wall's here: timers of it would not be what programs ask for.
int getitimer(int which, struct itimerval *now) {
  if (which != ITIMER_REAL) return fail(EINVAL);
  *now = (struct itimerval){time_of(alarm_interval), time_of(alarm_left())};
  return 0;
}

int setitimer(int which, const struct itimerval *new, struct itimerval *old) {
  if (which != ITIMER_REAL || !is_time(new->it_value) || !is_time(new->it_interval)) return fail(EINVAL);
  if (old) getitimer(which, old);
  uint64_t first = nanoseconds_of(new->it_value);
  alarm_at = first ? coop_after(first) : COOP_FOREVER;
  alarm_interval = nanoseconds_of(new->it_interval);
  return 0;
}

int pause(void) {
  do coop_park_interruptibly(NULL, COOP_FOREVER, NULL);
  while (!coop_self->interrupted);
  errno = EINTR;
  return -1;
}
