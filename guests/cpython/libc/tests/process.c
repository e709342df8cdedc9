// Exit codes and identity.
#include "ctest.h"

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

const struct test_case process_cases[] = {
    {.name = "exit_with_3", .run = exit_with_3, .expect = "exit 3"},
    {.name = "exit_with_255", .run = exit_with_255, .expect = "exit 255"},
    {.name = "exit_with_256", .run = exit_with_256, .expect = "exit 0"},
    {.name = "exit_from_a_thread", .run = exit_from_a_thread, .expect = "exit 9"},
    {.name = "aborts", .run = aborts, .expect = "abort"},
    {.name = "identity", .run = identity},
    {0},
};
