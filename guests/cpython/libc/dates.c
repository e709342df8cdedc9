// Directives of strftime that other systems' C libraries know and programs use. This one gives up the whole text at one that it does
// not know, where others copy it as it stands, and takes what `%s` is asked of for a date of UTC.
//
// Only wcsftime, which Python calls, comes by here.
#include <locale.h>
#include <stdio.h>
#include <time.h>

typedef char text[100];

const char *__real___strftime_fmt_1(text *space, size_t *length, int directive, const struct tm *date, locale_t locale, int padding);

static const char *padded(text *space, size_t *length, int number, int padding) {
  const char *format = padding == '-' ? "%d" : padding == '0' ? "%02d" : "%2d";
  *length = (size_t)snprintf(*space, sizeof *space, format, number);
  return *space;
}

const char *__wrap___strftime_fmt_1(text *space, size_t *length, int directive, const struct tm *date, locale_t locale, int padding) {
  switch (directive) {
    case 'k':
      return padded(space, length, date->tm_hour, padding);
    case 'l':
      return padded(space, length, (date->tm_hour + 11) % 12 + 1, padding);
    case 'P':
      *length = 2;
      return date->tm_hour < 12 ? "am" : "pm";
    case 's': {
      struct tm copy = *date;  // mktime changes it
      *length = (size_t)snprintf(*space, sizeof *space, "%lld", (long long)mktime(&copy));
      return *space;
    }
  }
  const char *known = __real___strftime_fmt_1(space, length, directive, date, locale, padding);
  if (known || directive <= 0 || directive > 127) return known;
  *length = (size_t)snprintf(*space, sizeof *space, "%%%c", directive);
  return *space;
}
