// Exit codes and identity.
#define _WASI_EMULATED_SIGNAL
#define _WASI_EMULATED_GETPID
#include "ctest.h"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"
#include "wait.h"

static void exit_with_3(void) { exit(3); }
static void exit_with_255(void) { _Exit(255); }
static void exit_with_256(void) { _Exit(256); }
static void aborts(void) { abort(); }

static void *exit_with_9(void *unused) {
  (void)unused;
  exit(9);
}

static void exit_from_a_thread(void) { join(start(exit_with_9, NULL)); }

static void identity(void) {
  char name[8];
  unsigned group = 1;
  CHECK(getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0);
  CHECK(getpid() == 1 && getppid() == 0);
  CHECK(getgroups(0, NULL) == 1 && getgroups(1, &group) == 1 && group == 0);
  CHECK(!strcmp(getlogin(), "root") && getlogin_r(name, sizeof name) == 0 && getlogin_r(name, 2) == ERANGE);
  CHECK(umask(077) == 022 && umask(0) == 077);
}

// ---- Processes: this program again, with another case. The cases that start with "child" do nothing of interest alone.

static int start_case(const char *name, const int (*descriptors)[2], size_t count) {
  const char *const arguments[] = {"python", name, NULL}, *const environment[] = {"GIVEN=yes", NULL};
  const struct pywasm_spawn request = {arguments, environment, "/tmp", descriptors, count};
  char *reason;
  int process = pywasm_spawn(&request, &reason);
  CHECK(process > 1);
  return process;
}

static int status_of(int process) {
  int status;
  CHECK(waitpid(process, &status, 0) == process);
  return status;
}

static void child_echo(void) {
  char buffer[5000];
  for (ssize_t size; (size = read(0, buffer, sizeof buffer)) > 0;)
    for (ssize_t done = 0, more; done < size; done += more) CHECK((more = write(1, buffer + done, size - done)) > 0);
}

static void child_posts(void) {
  sem_t *semaphore = sem_open("/ctests", 0);
  CHECK(semaphore || errno == ENOENT);
  if (semaphore) CHECK(sem_post(semaphore) == 0 && sem_close(semaphore) == 0);
}

static void a_process_ends(void) {
  int status = status_of(start_case("exit_with_3", NULL, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
  CHECK(getpid() == 1 && getppid() == 0);
}

static void other_programs_are_refused(void) {
  const char *const arguments[] = {"/bin/du", NULL}, *const none[] = {NULL};
  char *reason;
  const struct pywasm_spawn program = {arguments, none, "/", NULL, 0}, folder = {arguments, none, "/none", NULL, 0};
  CHECK(pywasm_spawn(&program, &reason) == -1 && errno == ENOENT && strstr(reason, "is not a program"));
  CHECK(pywasm_spawn(&folder, &reason) == -1 && errno == ENOENT && !reason);
}

static int to_child[2], from_child[2];

static void *feed(void *size) {
  static char data[1000];
  for (size_t left = (size_t)size; left; left -= sizeof data) {
    memset(data, (int)(left / sizeof data), sizeof data);
    CHECK(write(to_child[1], data, sizeof data) == sizeof data);
  }
  CHECK(close(to_child[1]) == 0);
  return NULL;
}

static void pipes_to_a_process(void) {
  enum { SIZE = 300000 };
  CHECK(pipe(to_child) == 0 && pipe(from_child) == 0);
  CHECK(write(to_child[1], "first", 5) == 5);  // what is in a pipe goes with it
  int process = start_case("child_echo", (const int[][2]){{0, to_child[0]}, {1, from_child[1]}}, 2);
  CHECK(close(to_child[0]) == 0 && close(from_child[1]) == 0);
  struct pollfd waited = {to_child[1], POLLIN, 0};
  CHECK(poll(&waited, 1, 0) == 0);  // there is nothing to read at this end, and nothing is wrong with it
  pthread_t writer = start(feed, (void *)SIZE);
  char buffer[1000], first[5];
  CHECK(read(from_child[0], first, 5) == 5 && !memcmp(first, "first", 5));
  for (size_t left = SIZE; left; left -= sizeof buffer) {
    for (size_t got = 0; got < sizeof buffer;) {
      ssize_t more = read(from_child[0], buffer + got, sizeof buffer - got);
      CHECK(more > 0);
      got += more;
    }
    CHECK(buffer[0] == (char)(left / sizeof buffer) && buffer[999] == buffer[0]);
  }
  join(writer);
  ssize_t end = 0;
  for (ssize_t more; (more = read(from_child[0], buffer + end, sizeof buffer - end)) != 0; end += more) CHECK(more > 0);
  CHECK(end == 3 && !memcmp(buffer, "ok\n", 3));  // printed in as many pieces as it likes
  CHECK(status_of(process) == 0);
}

// Told by an error to whoever asks for anything, and for nothing.
static void a_pipe_that_nobody_reads(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  int process = start_case("child_echo", (const int[][2]){{0, ends[0]}}, 1);
  CHECK(close(ends[0]) == 0);
  struct pollfd waited = {ends[1], 0, 0};
  CHECK(poll(&waited, 1, 0) == 0);
  CHECK(kill(process, SIGKILL) == 0 && poll(&waited, 1, -1) == 1 && waited.revents == POLLERR);
  waited.events = POLLIN | POLLOUT;
  CHECK(poll(&waited, 1, 0) == 1 && waited.revents == (POLLOUT | POLLERR));
  status_of(process);
}

static void *read_three(void *fd) {
  char buffer[3];
  CHECK(read((int)(intptr_t)fd, buffer, 3) == 3 && !memcmp(buffer, "abc", 3));
  return NULL;
}

// A thread that waits at one end while the other is passed on goes on waiting for the same bytes.
static void a_pair_moves_under_a_reader(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  pthread_t reader = start(read_three, (void *)(intptr_t)ends[0]);
  sleep_ms(10);
  int process = start_case("child_echo", (const int[][2]){{0, ends[1]}, {1, ends[1]}}, 2);
  CHECK(close(ends[1]) == 0 && write(ends[0], "abc", 3) == 3);
  join(reader);
  struct pollfd waited = {ends[0], POLLIN | POLLOUT, 0};
  CHECK(poll(&waited, 1, -1) == 1 && waited.revents == POLLOUT);
  CHECK(shutdown(ends[0], SHUT_WR) == 0 && status_of(process) == 0);
  waited.events = POLLIN;
  CHECK(poll(&waited, 1, -1) == 1 && waited.revents == POLLIN);
}

static void processes_get_signals(void) {
  int idle[2];
  CHECK(pipe(idle) == 0);
  const int standard[][2] = {{0, idle[0]}};
  for (int signal = SIGTERM; signal; signal = signal == SIGTERM ? SIGKILL : 0) {
    int process = start_case("child_echo", standard, 1);
    CHECK(waitpid(process, NULL, WNOHANG) == 0);
    CHECK(kill(process, 0) == 0 && kill(process, signal) == 0);
    int status = status_of(process);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
    CHECK(kill(process, 0) == -1 && errno == ESRCH);
  }
  CHECK(write(idle[1], "x", 1) == 1 && close(idle[0]) == 0);
  CHECK(write(idle[1], "x", 1) == -1 && errno == EPIPE);
}

static void files_for_a_process(void) {
  int in = open("/tmp/in", O_RDWR | O_CREAT, 0644), out = open("/tmp/out", O_RDWR | O_CREAT, 0644);
  CHECK(write(in, "0123456789", 10) == 10 && lseek(in, 4, SEEK_SET) == 4 && write(out, "begun ", 6) == 6);
  CHECK(status_of(start_case("child_echo", (const int[][2]){{0, in}, {1, out}}, 2)) == 0);
  char buffer[32] = {0};
  CHECK(pread(out, buffer, sizeof buffer, 0) == 15 && !strcmp(buffer, "begun 456789ok\n"));
  int null = open("/dev/null", O_RDWR);
  CHECK(status_of(start_case("child_echo", (const int[][2]){{0, null}, {1, null}}, 2)) == 0);
}

static void named_semaphores(void) {
  sem_t *semaphore = sem_open("/ctests", O_CREAT | O_EXCL, 0600, 0);
  int value;
  CHECK(semaphore && sem_open("/ctests", O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED && errno == EEXIST);
  CHECK(sem_trywait(semaphore) == -1 && errno == EAGAIN);
  struct timespec soon = after_ms(CLOCK_REALTIME, 10);
  CHECK(sem_timedwait(semaphore, &soon) == -1 && errno == ETIMEDOUT);
  CHECK(status_of(start_case("child_posts", NULL, 0)) == 0 && sem_wait(semaphore) == 0);
  CHECK(sem_post(semaphore) == 0 && sem_getvalue(semaphore, &value) == 0 && value == 1);
  CHECK(sem_unlink("/ctests") == 0 && sem_unlink("/ctests") == -1 && errno == ENOENT && sem_close(semaphore) == 0);
}

const struct test_case process_cases[] = {
    {.name = "child_echo", .run = child_echo},
    {.name = "child_posts", .run = child_posts},
    {.name = "a_process_ends", .run = a_process_ends},
    {.name = "other_programs_are_refused", .run = other_programs_are_refused},
    {.name = "pipes_to_a_process", .run = pipes_to_a_process},
    {.name = "a_pipe_that_nobody_reads", .run = a_pipe_that_nobody_reads},
    {.name = "a_pair_moves_under_a_reader", .run = a_pair_moves_under_a_reader},
    {.name = "processes_get_signals", .run = processes_get_signals},
    {.name = "files_for_a_process", .run = files_for_a_process, .needs = "tmp"},
    {.name = "named_semaphores", .run = named_semaphores},
    {.name = "exit_with_3", .run = exit_with_3, .expect = "exit 3"},
    {.name = "exit_with_255", .run = exit_with_255, .expect = "exit 255"},
    {.name = "exit_with_256", .run = exit_with_256, .expect = "exit 0"},
    {.name = "exit_from_a_thread", .run = exit_from_a_thread, .expect = "exit 9"},
    {.name = "aborts", .run = aborts, .expect = "abort"},
    {.name = "identity", .run = identity},
    {0},
};
