// What libc gets wrong about entries of folders.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptor.h"
#include "posix.h"

DIR *__real_opendir(const char *);
int __real_unlink(const char *);
int __real_unlinkat(int, const char *, int);
int __real_rmdir(const char *);

// libc takes the empty path for the working folder.
DIR *__wrap_opendir(const char *path) {
  if (*path) return __real_opendir(path);
  errno = ENOENT;
  return NULL;
}

// The host refuses to remove anything from a read-only folder before it looks whether it is there. Programs remove
// what may not exist and expect to hear ENOENT then.
static int removed(int result, int folder, const char *path) {
  struct stat status;
  if (result == 0 || (errno != EPERM && errno != EROFS)) return result;
  int error = errno;
  return fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? fail(error) : -1;
}

int __wrap_unlink(const char *path) { return removed(__real_unlink(path), AT_FDCWD, path); }
int __wrap_rmdir(const char *path) { return removed(__real_rmdir(path), AT_FDCWD, path); }

int __wrap_unlinkat(int folder, const char *path, int flags) {
  return removed(__real_unlinkat(folder, path, flags), folder, path);
}
