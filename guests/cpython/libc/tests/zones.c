// Time zones: what TZ may say, and what clocks show then.
#include "ctest.h"

#include <fcntl.h>
#include <unistd.h>

static const time_t JANUARY = 1704110400, JULY = 1719835200;  // 2024, the first, at noon in UTC

static void use_zone(const char *text) {
  CHECK(setenv("TZ", text, 1) == 0);
  tzset();
}

static bool shows(time_t time, const char *expected) {
  struct tm date;
  char text[64];
  CHECK(localtime_r(&time, &date));
  CHECK(strftime(text, sizeof text, "%d %H:%M:%S %z %Z", &date));
  if (strcmp(text, expected) != 0) dprintf(1, "%s\n", text);
  return !strcmp(text, expected);
}

static time_t made_of(int month, int day, int hour, int minute, int summer) {
  struct tm date = {.tm_year = 124, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_isdst = summer};
  return mktime(&date);
}

static void zone_is_utc_unless_told(void) {
  CHECK(unsetenv("TZ") == 0 && shows(JANUARY, "01 12:00:00 +0000 UTC"));
  const char *unknown[] = {"", ":", "UTC0", "Nowhere/Nothing", "../..", "ab", "EST5EDT,M3", "EST25", "EST5EDT,M13.1.1,M1.1.1", "<EST5"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    use_zone(unknown[i]);
    CHECK(shows(JULY, "01 12:00:00 +0000 UTC"));
  }
  char *longest = malloc(100000);
  memset(longest, 'A', 99999);
  longest[99999] = 0;
  use_zone(longest);
  CHECK(shows(JULY, "01 12:00:00 +0000 UTC"));
  free(longest);
}

static void zone_by_a_rule(void) {
  use_zone("EST5EDT,M3.2.0,M11.1.0");
  CHECK(shows(JANUARY, "01 07:00:00 -0500 EST") && shows(JULY, "01 08:00:00 -0400 EDT"));
  CHECK(shows(1710053999, "10 01:59:59 -0500 EST") && shows(1710054000, "10 03:00:00 -0400 EDT"));
  CHECK(shows(1730613599, "03 01:59:59 -0400 EDT") && shows(1730613600, "03 01:00:00 -0500 EST"));
  use_zone("AEST-10AEDT-11,M10.5.0,M3.5.0");
  CHECK(shows(JANUARY, "01 23:00:00 +1100 AEDT") && shows(JULY, "01 22:00:00 +1000 AEST"));
  use_zone("<+0330>-3:30:15");
  CHECK(shows(JULY, "01 15:30:15 +0330 +0330"));
  use_zone("EST5EDT");  // as in the United States
  CHECK(shows(JANUARY, "01 07:00:00 -0500 EST") && shows(JULY, "01 08:00:00 -0400 EDT"));
  use_zone("CET-1CEST,J60/0,300/-1");  // 1 March, also in a leap year; day 300 counts 29 February
  CHECK(shows(1709247599, "29 23:59:59 +0100 CET") && shows(1709247600, "01 01:00:00 +0200 CEST"));
  CHECK(shows(1729976399, "26 22:59:59 +0200 CEST") && shows(1729976400, "26 22:00:00 +0100 CET"));
}

static void zone_of_a_date(void) {
  use_zone("EST5EDT,M3.2.0,M11.1.0");
  CHECK(made_of(1, 1, 7, 0, -1) == JANUARY && made_of(7, 1, 8, 0, -1) == JULY);
  CHECK(made_of(1, 1, 8, 0, 1) == JANUARY && made_of(7, 1, 7, 0, 0) == JULY);
  CHECK(made_of(11, 3, 1, 30, -1) == 1730611800 && made_of(11, 3, 1, 30, 1) == 1730611800);  // there twice
  CHECK(made_of(11, 3, 1, 30, 0) == 1730615400);
  CHECK(made_of(3, 10, 2, 30, -1) == 1710055800);  // not there
  struct tm date = {.tm_mday = 1, .tm_isdst = 1};
  char name[8];
  CHECK(strftime(name, sizeof name, "%Z", &date) == 3 && !strcmp(name, "EDT"));
}

static void put_number(unsigned char **at, long long number, int width) {
  while (width--) *(*at)++ = (unsigned char)(number >> 8 * width);
}

// Two kinds of clocks, two changes, as a file of `version` holds them with times of `width` bytes.
static void put_part(unsigned char **at, char version, int width) {
  memcpy(*at, "TZif", 4), (*at)[4] = (unsigned char)version, memset(*at + 5, 0, 15), *at += 20;
  for (int i = 0; i < 6; i++) put_number(at, (int[]){0, 0, 0, 2, 2, 8}[i], 4);
  put_number(at, JANUARY, width), put_number(at, JULY, width);
  memcpy(*at, "\1\0", 2), *at += 2;
  put_number(at, 3600, 4), put_number(at, 0, 2);
  put_number(at, -7200, 4), put_number(at, 0x104, 2);
  memcpy(*at, "ONE\0TWO", 8), *at += 8;
}

static void write_zone(const void *bytes, size_t size) {
  use_zone("");
  int file = open("/zone", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0 && write(file, bytes, size) == (ssize_t)size && close(file) == 0);
  use_zone("/zone");
}

static void zone_of_a_file(void) {
  unsigned char file[300], *end = file;
  put_part(&end, 0, 4);
  write_zone(file, (size_t)(end - file));
  CHECK(shows(JANUARY - 1, "01 12:59:59 +0100 ONE") && shows(JANUARY, "01 10:00:00 -0200 TWO"));
  CHECK(shows(JULY, "01 13:00:00 +0100 ONE"));
  CHECK(pywasm_open_descriptors() == 0);

  end = file;
  put_part(&end, '2', 4), put_part(&end, '2', 8);
  memcpy(end, "\nSIX-6\n", 7), end += 7;
  write_zone(file, (size_t)(end - file));
  CHECK(shows(JANUARY, "01 10:00:00 -0200 TWO") && shows(JULY, "01 18:00:00 +0600 SIX"));
  // Cut anywhere it is as good as no file, or a file without a rule.
  for (size_t size = 0; size < (size_t)(end - file); size++) {
    write_zone(file, size);
    CHECK(shows(JANUARY, size < (size_t)(end - file) - 7 ? "01 12:00:00 +0000 UTC" : "01 10:00:00 -0200 TWO"));
  }
  // Whatever its bytes are, nothing outside of it is read: clocks show something, and the program goes on.
  for (unsigned char *byte = file; byte < end; byte++)
    for (int value = 0; value < 256; value += 51) {
      unsigned char before = *byte;
      *byte = (unsigned char)value;
      write_zone(file, (size_t)(end - file));
      struct tm date;
      CHECK(localtime_r(&JULY, &date));
      *byte = before;
    }
}

const struct test_case zone_cases[] = {
    {.name = "zone_is_utc_unless_told", .run = zone_is_utc_unless_told},
    {.name = "zone_by_a_rule", .run = zone_by_a_rule},
    {.name = "zone_of_a_date", .run = zone_of_a_date},
    {.name = "zone_of_a_file", .run = zone_of_a_file},
    {0},
};
