// ctests CASE: runs one case, prints "ok" and exits 0, or prints what failed and exits 1.
// ctests list: prints NAME, EXPECTATION and NEEDS of each case, separated by tabs.
#include "ctest.h"

#include <unistd.h>

static const struct test_case *const tables[] = {
    sync_cases, lifecycle_cases, schedule_cases, blocking_cases, descriptor_cases, pair_cases, socket_cases, process_cases,
    zone_cases, fiber_cases, exception_cases, jump_cases,
};
static const size_t TABLES = sizeof tables / sizeof *tables;

_Noreturn void check_failed(const char *expression, const char *file, int line) {
  dprintf(1, "%s:%d: failed: %s (errno %d: %s)\n", file, line, expression, errno, strerror(errno));
  _Exit(1);
}

unsigned heart_beats;
static bool heart_stopped;
static pthread_t heart;

static void *beat(void *unused) {
  (void)unused;
  for (; !heart_stopped; heart_beats++) sleep_ms(5);
  return NULL;
}

void heart_start(void) {
  heart_beats = 0;
  heart_stopped = false;
  heart = start(beat, NULL);
}

void heart_stop(void) {
  heart_stopped = true;
  join(heart);
}

static void list(void) {
  for (size_t t = 0; t < TABLES; t++)
    for (const struct test_case *c = tables[t]; c->name; c++)
      printf("%s\t%s\t%s\n", c->name, c->expect ? c->expect : "ok", c->needs ? c->needs : "-");
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: ctests list | ctests CASE\n");
    return 2;
  }
  if (!strcmp(argv[1], "list")) {
    list();
    return 0;
  }
  for (size_t t = 0; t < TABLES; t++)
    for (const struct test_case *c = tables[t]; c->name; c++)
      if (!strcmp(argv[1], c->name)) {
        c->run();
        printf("ok\n");
        return 0;
      }
  fprintf(stderr, "ctests: there is no case \"%s\"\n", argv[1]);
  return 2;
}
