// The time zone of the program: TZ, as POSIX spells zones ("EST5EDT,M3.2.0,M11.1.0") or as a name of the time zone database
// ("Europe/Berlin"). This libc knows UTC alone, but its localtime, mktime and strftime leave all that is to be known of zones to
// three functions, which this file brings instead. Without TZ, and with one that says nothing, clocks show UTC.
//
// A zone is what a file (RFC 9636) says of the past, and a rule for what comes after.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, LONGEST_NAME = 31, LARGEST_FILE = 1 << 16 };

// Where names are looked up, the first that has one: what the person mounts, and what Python's zoneinfo reads.
static const char *const DATABASES[] = {"/usr/share/zoneinfo", "/usr/local/lib/python3.14/tzdata/zoneinfo"};

// What clocks show for some time.
struct clock {
  int offset;
  bool summer;
  const char *name;
};

// When clocks are changed within a year: on the `day` of it (`JULIAN` from 1, without 29 February; `ORDINAL` from 0), or on a
// day of the week in the `week` of a `month`, of which 5 is the last.
struct change {
  enum { JULIAN, ORDINAL, WEEKDAY } kind;
  int month, week, day, second;
};

struct rule {
  bool there, changes;
  char standard[LONGEST_NAME + 1], summer[LONGEST_NAME + 1];
  int standard_offset, summer_offset;
  struct change begin, end;
};

// Times and what is from then on, as they lie in the file.
struct history {
  unsigned char *file;
  size_t count, width, kinds, letters;
  const unsigned char *times, *indices, *clocks;
  const char *names;
};

static struct zone {
  char *text;  // of TZ, by which it is known whether it is still the one
  struct history history;
  struct rule rule;
} current;

const char __utc[] = "UTC";

// ---- Rules

static bool skip(const char **at, char expected) {
  if (**at != expected) return false;
  ++*at;
  return true;
}

static bool read_number(const char **at, int least, int most, int *number) {
  const char *start = *at;
  for (*number = 0; **at >= '0' && **at <= '9' && *number <= most; ++*at) *number = *number * 10 + (**at - '0');
  return *at > start && *number >= least && *number <= most;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool read_name(const char **at, char *name) {
  bool quoted = skip(at, '<');
  const char *start = *at;
  while (quoted ? **at && **at != '>' : is_letter(**at)) ++*at;
  size_t length = (size_t)(*at - start);
  if (length < 3 || length > LONGEST_NAME || (quoted && !skip(at, '>'))) return false;
  memcpy(name, start, length);
  name[length] = 0;
  return true;
}

// [+-]hours[:minutes[:seconds]]
static bool read_time(const char **at, int most_hours, int *seconds) {
  int sign = skip(at, '-') ? -1 : 1, hours, minutes = 0, rest = 0;
  if (sign > 0) skip(at, '+');
  if (!read_number(at, 0, most_hours, &hours)) return false;
  if (skip(at, ':') && !read_number(at, 0, 59, &minutes)) return false;
  if (skip(at, ':') && !read_number(at, 0, 59, &rest)) return false;
  *seconds = sign * (hours * HOUR + minutes * MINUTE + rest);
  return true;
}

static bool read_change(const char **at, struct change *change) {
  if (!skip(at, ',')) return false;
  if (skip(at, 'M')) {
    change->kind = WEEKDAY;
    if (!read_number(at, 1, 12, &change->month) || !skip(at, '.') || !read_number(at, 1, 5, &change->week) || !skip(at, '.') ||
        !read_number(at, 0, 6, &change->day))
      return false;
  } else {
    change->kind = skip(at, 'J') ? JULIAN : ORDINAL;
    if (!read_number(at, change->kind == JULIAN, 365, &change->day)) return false;
  }
  change->second = 2 * HOUR;
  return !skip(at, '/') || read_time(at, 167, &change->second);
}

static bool read_rule(const char *text, struct rule *rule) {
  int west;
  if (!read_name(&text, rule->standard) || !read_time(&text, 24, &west)) return false;
  rule->standard_offset = -west;
  if (*text) {
    if (!read_name(&text, rule->summer)) return false;
    rule->changes = true;
    rule->summer_offset = rule->standard_offset + HOUR;
    if (*text && *text != ',') {
      if (!read_time(&text, 24, &west)) return false;
      rule->summer_offset = -west;
    }
    if (!*text) text = ",M3.2.0,M11.1.0";  // POSIX leaves it open; others follow the United States too
    if (!read_change(&text, &rule->begin) || !read_change(&text, &rule->end)) return false;
  }
  return rule->there = !*text;
}

// In the seconds that clocks show before the change.
static time_t change_of_year(const struct change *change, int year) {
  struct tm date = {.tm_mday = 1};
  if (change->kind == WEEKDAY) {
    date.tm_year = year, date.tm_mon = change->month - 1;
    timegm(&date);  // tells the day of the week
    date.tm_mday += (change->day - date.tm_wday + 7) % 7 + (change->week - 1) * 7;
    timegm(&date);
    if (date.tm_mon != change->month - 1) date.tm_mday -= 7;  // the fifth is the last
  } else if (change->kind == ORDINAL) {
    date.tm_year = year, date.tm_mday += change->day;
  } else {
    time_t ordinary = (time_t)(change->day - 1) * DAY;  // 1970 has no 29 February
    gmtime_r(&ordinary, &date);
    date.tm_year = year;
  }
  date.tm_hour = date.tm_min = date.tm_sec = 0;
  return timegm(&date) + change->second;
}

static struct clock clock_by_rule(const struct rule *rule, time_t time) {
  struct clock standard = {rule->standard_offset, false, rule->standard}, summer = {rule->summer_offset, true, rule->summer};
  time_t shown = time + standard.offset;
  struct tm date;
  if (!rule->changes || !gmtime_r(&shown, &date)) return standard;
  time_t begin = change_of_year(&rule->begin, date.tm_year) - standard.offset;
  time_t end = change_of_year(&rule->end, date.tm_year) - summer.offset;
  bool in_summer = begin < end ? begin <= time && time < end : begin <= time || time < end;
  return in_summer ? summer : standard;
}

// ---- Files

static int64_t big_endian(const unsigned char *bytes, size_t width) {
  uint64_t value = bytes[0] & 0x80 ? UINT64_MAX : 0;
  for (size_t i = 0; i < width; i++) value = value << 8 | bytes[i];
  return (int64_t)value;
}

static bool are_sound(const struct history *past) {
  if (past->kinds == 0 || past->letters == 0 || past->names[past->letters - 1]) return false;
  for (size_t i = 0; i < past->count; i++)
    if (past->indices[i] >= past->kinds) return false;
  for (size_t i = 0; i < past->kinds; i++)
    if (past->clocks[6 * i + 5] >= past->letters) return false;
  return true;
}

// There are two versions of all in a file, of which the second, with wider times, may be missing; the rule comes at its end.
static bool read_file(struct history *past, size_t size, struct rule *rule) {
  enum { HEADER = 44, UT_FLAGS = 0, STANDARD_FLAGS, LEAPS, TIMES, KINDS, LETTERS, NUMBERS };
  const unsigned char *at = past->file;
  for (past->width = 4;; past->width = 8) {
    uint64_t left = size - (size_t)(at - past->file), number[NUMBERS];
    if (left < HEADER || memcmp(at, "TZif", 4) != 0) return false;
    bool wider = past->width == 4 && at[4] >= '2';
    for (int i = 0; i < NUMBERS; i++) number[i] = (uint32_t)big_endian(at + 20 + 4 * i, 4);
    uint64_t length = HEADER + number[TIMES] * (past->width + 1) + number[KINDS] * 6 + number[LETTERS] +
                      number[LEAPS] * (past->width + 4) + number[STANDARD_FLAGS] + number[UT_FLAGS];
    if (length > left) return false;
    past->count = number[TIMES], past->kinds = number[KINDS], past->letters = number[LETTERS];
    past->times = at + HEADER;
    past->indices = past->times + past->count * past->width;
    past->clocks = past->indices + past->count;
    past->names = (const char *)past->clocks + past->kinds * 6;
    at += length;
    if (!wider) break;
  }
  // The byte after the file's last is 0.
  char *end;
  const char *text = (const char *)at;
  if (past->width == 8 && *text == '\n' && (end = strchr(text + 1, '\n'))) {
    *end = 0;
    if (!read_rule(text + 1, rule)) rule->there = false;
  }
  return are_sound(past);
}

static struct clock clock_of_kind(const struct history *past, size_t kind) {
  const unsigned char *bytes = past->clocks + 6 * kind;
  return (struct clock){(int)big_endian(bytes, 4), bytes[4] != 0, past->names + bytes[5]};
}

static struct clock clock_at(const struct zone *zone, time_t time) {
  const struct history *past = &zone->history;
  size_t low = 0, high = past->count;  // the change before the first after `time`
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (big_endian(past->times + middle * past->width, past->width) <= time) low = middle + 1;
    else high = middle;
  }
  if (low == past->count && zone->rule.there) return clock_by_rule(&zone->rule, time);
  if (past->file) return clock_of_kind(past, low == 0 ? 0 : past->indices[low - 1]);
  return (struct clock){0, false, __utc};
}

// ---- TZ

static bool open_zone(const char *name, struct zone *zone) {
  char path[PATH_MAX];
  int file = -1;
  for (size_t i = 0; file < 0 && i < sizeof DATABASES / sizeof *DATABASES; i++) {
    const char *folder = *name == '/' ? "" : DATABASES[i];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path) file = open(path, O_RDONLY | O_CLOEXEC);
  }
  if (file < 0) return false;
  unsigned char *bytes = malloc(LARGEST_FILE + 1);
  size_t size = 0;
  ssize_t more = 0;
  while (bytes && size < LARGEST_FILE && (more = read(file, bytes + size, LARGEST_FILE - size)) > 0) size += (size_t)more;
  close(file);
  if (!bytes) return false;
  bytes[size] = 0;
  unsigned char *kept = realloc(bytes, size + 1);
  zone->history.file = kept ? kept : bytes;
  if (more == 0 && read_file(&zone->history, size, &zone->rule)) return true;
  free(zone->history.file);
  *zone = (struct zone){0};
  return false;
}

// Another thread may run while the file is read, so that the zone is only changed when all of it is known.
static void load(const char *text) {
  struct zone zone = {0};
  const char *name = text + (*text == ':');
  if (*name && !open_zone(name, &zone) && !read_rule(name, &zone.rule)) zone.rule.there = false;
  zone.text = strdup(text);
  free(current.text);
  free(current.history.file);
  current = zone;
}

static const struct zone *local_zone(void) {
  const char *text = getenv("TZ");
  if (!text) text = "";
  if (!current.text || strcmp(current.text, text) != 0) {
    int before = errno;
    load(text);
    errno = before;
  }
  return &current;
}

// What clocks show at the time nearest to `time` when it is summer, if `clock` says that it is not, or the other way round. Where
// they are not changed they would be by an hour.
static struct clock other_clock(const struct zone *zone, time_t time, struct clock clock) {
  for (int days = 30; days <= 360; days += 30)
    for (int sign = -1; sign <= 1; sign += 2) {
      struct clock other = clock_at(zone, time + (time_t)sign * days * DAY);
      if (other.summer != clock.summer) return other;
    }
  clock.offset += clock.summer ? -HOUR : HOUR;
  return clock;
}

// Where clocks show a time twice it is the first; where they skip it, it is as if they had not been changed yet.
static struct clock clock_showing(const struct zone *zone, time_t shown) {
  struct clock before = clock_at(zone, shown - DAY), after = clock_at(zone, shown + DAY);
  if (clock_at(zone, shown - before.offset).offset != before.offset && clock_at(zone, shown - after.offset).offset == after.offset)
    return after;
  return before;
}

void tzset(void) { local_zone(); }

// libc's own interface. `local` says that `time` is what clocks show; `opposite` asks for the offset in the other half of the year.
void __secs_to_zone(long long time, int local, int *summer, int *offset, int *opposite, const char **name) {
  const struct zone *zone = local_zone();
  struct clock clock = local ? clock_showing(zone, time) : clock_at(zone, time);
  *summer = clock.summer;
  *offset = clock.offset;
  if (opposite) *opposite = other_clock(zone, local ? time - clock.offset : time, clock).offset;
  *name = clock.name;
}

// The program may have filled in the date without the zone.
const char *__tm_to_tzname(const struct tm *date) {
  if (date->__tm_zone) return date->__tm_zone;
  const struct zone *zone = local_zone();
  time_t now = time(NULL);
  struct clock clock = clock_at(zone, now);
  return clock.summer == (date->tm_isdst > 0) ? clock.name : other_clock(zone, now, clock).name;
}
