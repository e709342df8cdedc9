// Paths with "..", "." or empty parts, before libc looks for the mount they lead to, and links to absolute paths.
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

int __real_symlink(const char *target, const char *link);
ssize_t __real_readlink(const char *link, char *buffer, size_t size);
int __real___wasilibc_find_abspath(const char *path, const char **mount, const char **below);
int __real___wasilibc_find_relpath_alloc(const char *path, const char **mount, char **below, size_t *size, int may_grow);
int __real_chdir(const char *path);
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

// Walks `rest`, through links where a ".." comes after them, or through all. Where it cannot go on, the remainder stays as it
// is, for the host to say what is wrong with it.
static void walk(bool through_all) {
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
      if (!stuck && through_all && S_ISLNK(kind())) {
        stuck = links++ >= MOST_LINKS || !follow(next);
        if (stuck) drop_last();
        else next = rest;
      }
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
  walk(false);
  errno = error;
  return __real___wasilibc_find_abspath(length || *walked ? walked : "/", mount, below);
}

// An empty path names nothing; libc takes it for the working folder.
int __wrap___wasilibc_find_relpath_alloc(const char *path, const char **mount, char **below, size_t *size, int may_grow) {
  if (*path) return __real___wasilibc_find_relpath_alloc(path, mount, below, size, may_grow);
  errno = ENOENT;
  return -1;
}

int __wrap_chdir(const char *path) {
  if (*path) return __real_chdir(path);
  errno = ENOENT;
  return -1;
}

// The parts that `target` has in common with the way so far: how long they are in both.
static size_t common_with(const char *target) {
  size_t common = 0;
  while (target[common] == '/') {
    size_t size = part_of(target + common + 1);
    const char *part = target + common + 1;
    if (!size || is_dot(part, size) || is_dots(part, size)) break;
    if (strncmp(walked + common, target + common, 1 + size) != 0 || (walked[common + 1 + size] && walked[common + 1 + size] != '/')) break;
    common += 1 + size;
  }
  return common;
}

// Walks to where the folder that a link lies in really is.
static bool walk_to_folder_of(const char *link) {
  if (link[0] == '/') {
    if (strlen(link) >= PATH_MAX) return false;
    strcpy(rest, link);
  } else {
    if (!getcwd(rest, PATH_MAX) || strlen(rest) + 1 + strlen(link) >= PATH_MAX) return false;
    strcat(strcat(rest, "/"), link);
  }
  strrchr(rest, '/')[0] = 0;
  walk(true);
  return true;
}

// The host refuses links to absolute paths, which could mean anything there. So such a link is made relative, and begins with
// what no other does, by which readlink() knows that it was absolute.
static const char MARK[] = ".//";
enum { MARKED = sizeof MARK - 1 };

// The way to `target` from the folder that `link` lies in, if both are in one mount: the host knows nothing of the others.
static bool make_relative(const char *target, const char *link, char relative[static PATH_MAX]) {
  const char *mount, *below;
  if (!walk_to_folder_of(link)) return false;
  int here = __real___wasilibc_find_abspath(length ? walked : "/", &mount, &below);
  if (here < 0 || __real___wasilibc_find_abspath(target, &mount, &below) != here) return false;
  size_t common = common_with(target), size = MARKED;
  strcpy(relative, MARK);
  for (const char *up = walked + common; *up; up++) {
    if (*up != '/') continue;
    if (size + 3 >= PATH_MAX) return false;
    memcpy(relative + size, "../", 3);
    size += 3;
  }
  const char *down = target + common;
  while (*down == '/') down++;
  if (size + strlen(down) >= PATH_MAX) return false;
  strcpy(relative + size, down);
  return true;
}

int __wrap_symlink(const char *target, const char *link) {
  static char relative[PATH_MAX];
  int error = errno;
  bool made = target[0] == '/' && make_relative(target, link, relative);
  errno = error;
  return __real_symlink(made ? relative : target, link);
}

ssize_t __wrap_readlink(const char *link, char *buffer, size_t size) {
  static char target[PATH_MAX + 1];
  ssize_t found = __real_readlink(link, target, PATH_MAX);
  if (found < 0) return found;
  target[found] = 0;
  const char *result = target;
  int error = errno;
  if (!strncmp(target, MARK, MARKED) && walk_to_folder_of(link)) {
    for (const char *part = target + MARKED; *part; part += *part == '/') {
      size_t length_of_part = part_of(part);
      if (is_dots(part, length_of_part) && length) drop_last();
      else if (length_of_part && !append(part, length_of_part)) break;
      part += length_of_part;
    }
    result = length ? walked : "/";
  }
  errno = error;
  size_t all = strlen(result), given = all < size ? all : size;
  memcpy(buffer, result, given);
  return given;
}
