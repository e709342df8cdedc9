// What stat() says of a file beyond libc: permission bits and owners, which the host interface does not have,
// the size of blocks, and devices.
//
// libc reports no permission at all, as if nobody could read any file, and refuses to change them, which fails
// every program that copies a file with its mode. We report what a fresh file or folder has, and a change, also of
// the owner, succeeds without effect, as on the other file systems that cannot store it.
#include <fcntl.h>
#include <sys/stat.h>

#include "descriptor.h"
#include "posix.h"

int __real_stat(const char *, struct stat *);
int __real_lstat(const char *, struct stat *);
int __real_fstat(int, struct stat *);
int __real_fstatat(int, const char *, struct stat *, int);

// What readers take as the least worth asking for at once.
enum { BLOCK_BYTES = 4096 };

static int with_mode(int result, struct stat *status) {
  if (result != 0) return result;
  if (!status->st_blksize) status->st_blksize = BLOCK_BYTES;
  if (!(status->st_mode & 07777)) {
    if (S_ISDIR(status->st_mode)) status->st_mode |= 0755;
    if (S_ISREG(status->st_mode)) status->st_mode |= 0644;
    if (S_ISLNK(status->st_mode)) status->st_mode |= 0777;
  }
  return result;
}

int __wrap_stat(const char *path, struct stat *status) {
  return device_stat(path, status) ? 0 : with_mode(__real_stat(path, status), status);
}

int __wrap_lstat(const char *path, struct stat *status) {
  return device_stat(path, status) ? 0 : with_mode(__real_lstat(path, status), status);
}

int __wrap_fstat(int fd, struct stat *status) { return with_mode(__real_fstat(fd, status), status); }

int __wrap_fstatat(int folder, const char *path, struct stat *status, int flags) {
  return device_stat(path, status) ? 0 : with_mode(__real_fstatat(folder, path, status, flags), status);
}

int __wrap_chmod(const char *path, mode_t mode) {
  (void)mode;
  struct stat status;
  return __real_stat(path, &status);
}

int __wrap_fchmod(int fd, mode_t mode) {
  (void)mode;
  struct stat status;
  return __real_fstat(fd, &status);
}

int __wrap_fchmodat(int folder, const char *path, mode_t mode, int flags) {
  (void)mode;
  struct stat status;
  return __real_fstatat(folder, path, &status, flags);
}

// Root may give files away.
int chown(const char *path, uid_t user, gid_t group) {
  (void)user, (void)group;
  struct stat status;
  return __real_stat(path, &status);
}

int lchown(const char *path, uid_t user, gid_t group) {
  (void)user, (void)group;
  struct stat status;
  return __real_lstat(path, &status);
}

int fchown(int fd, uid_t user, gid_t group) {
  (void)user, (void)group;
  struct stat status;
  return __real_fstat(fd, &status);
}

int fchownat(int folder, const char *path, uid_t user, gid_t group, int flags) {
  (void)user, (void)group;
  struct stat status;
  return __real_fstatat(folder, path, &status, flags);
}
