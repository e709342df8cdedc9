// Paths with "..", "." or empty parts, before libc looks for the mount they lead to.
//
// libc compares a path with the names of the mounts letter by letter and leaves the rest to the host, which sees one
// mount at a time: /tmp/../data would be the empty folder under the mount at /data, /usr//local not be there, and
// a ".." out of a mount be refused. A kernel walks, and so does this, where a path has such parts. It only names
// things: what a name may reach is still the host's to say, mount by mount.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real___wasilibc_find_abspath(const char *path, const char **mount, const char **below);
int __wasilibc_nocwd_fstatat(int folder, const char *path, struct stat *status, int flags);
ssize_t __wasilibc_nocwd_readlinkat(int folder, const char *path, char *buffer, size_t size);

enum { MOST_LINKS = 40 };  // as on Linux

// Shared by all threads: nothing here gives the processor away, and libc copies what it is given.
static char walked[3 * PATH_MAX];
static size_t length;  // of `walked`: less than PATH_MAX
static char rest[2 * PATH_MAX];

static size_t part_of(const char *path) { return strcspn(path, "/"); }
static bool is_dot(const char *part, size_t size) { return size == 1 && part[0] == '.'; }
static bool is_dots(const char *part, size_t size) { return size == 2 && part[0] == '.' && part[1] == '.'; }

static bool is_plain(const char *path) {
  while (*path == '/') {
    path++;
    size_t size = part_of(path);
    if (!size || is_dot(path, size) || is_dots(path, size)) return false;
    path += size;
  }
  return !*path;
}

static bool append(const char *part, size_t size) {
  if (length + 1 + size >= PATH_MAX) return false;
  walked[length++] = '/';
  memcpy(walked + length, part, size);
  walked[length += size] = 0;
  return true;
}

static void drop_last(void) {
  while (walked[--length] != '/') {}
  walked[length] = 0;
}

// What lies at the end of the way so far, itself, not what it links to. 0 if nothing does.
static mode_t kind(void) {
  const char *mount, *below;
  struct stat status;
  int folder = __real___wasilibc_find_abspath(length ? walked : "/", &mount, &below);
  if (folder < 0 || __wasilibc_nocwd_fstatat(folder, below, &status, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  return status.st_mode & S_IFMT;
}

// Puts the target of the link at the end of the way in its place, before what is left to walk. The host follows no
// absolute links, so neither does this.
static bool follow(const char *left) {
  static char target[2 * PATH_MAX];
  const char *mount, *below;
  int folder = __real___wasilibc_find_abspath(walked, &mount, &below);
  ssize_t size = folder < 0 ? -1 : __wasilibc_nocwd_readlinkat(folder, below, target, PATH_MAX);
  if (size <= 0 || size == PATH_MAX || target[0] == '/' || strlen(left) >= PATH_MAX) return false;
  strcpy(target + size, left);
  strcpy(rest, target);
  drop_last();
  return true;
}

// Walks `rest`. Where it cannot go on, the remainder stays as it is, for the host to say what is wrong with it.
static void walk(void) {
  const char *next = rest;
  unsigned links = 0;
  bool stuck = false;
  walked[length = 0] = 0;
  while (*next) {
    const char *before = next;  // with its slash
    while (*next == '/') next++;
    size_t size = part_of(next);
    const char *part = next;
    next += size;
    if (is_dots(part, size) && length) {
      mode_t found = kind();
      if (S_ISDIR(found)) {
        drop_last();
      } else if (S_ISLNK(found) && links++ < MOST_LINKS && follow(before)) {
        next = rest;
      } else {
        stuck = true;
      }
    } else if (!size || is_dot(part, size)) {
      // At the end it asks for a folder. One that is there needs no such mark, which getcwd() would show.
      stuck = !*next && length && !S_ISDIR(kind());
    } else if (!is_dots(part, size)) {
      stuck = !append(part, size);
    }
    if (stuck) {
      strcpy(walked + length, before);
      return;
    }
  }
}

int __wrap___wasilibc_find_abspath(const char *path, const char **mount, const char **below) {
  if (is_plain(path) || strlen(path) >= PATH_MAX) return __real___wasilibc_find_abspath(path, mount, below);
  int error = errno;
  strcpy(rest, path);
  walk();
  errno = error;
  return __real___wasilibc_find_abspath(length || *walked ? walked : "/", mount, below);
}
