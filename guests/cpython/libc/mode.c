// What stat() says of a file beyond libc: permission bits and owners, which the host interface does not have,
// the size of blocks, which file a link leads to, and devices.
//
// libc reports no permission at all, as if nobody could read any file, and refuses to change them, which fails
// every program that copies a file with its mode. We report what a fresh file or folder has, and a change, also of
// the owner, succeeds without effect, as on the other file systems that cannot store it.
#include <fcntl.h>
#include <sys/stat.h>
#include <wasi/wasip2.h>

#include "descriptor.h"
#include "posix.h"

int __real_stat(const char *, struct stat *);
int __real_lstat(const char *, struct stat *);
int __real_fstat(int, struct stat *);
int __real_fstatat(int, const char *, struct stat *, int);

bool __real_filesystem_method_descriptor_metadata_hash_at(
    filesystem_borrow_descriptor_t, filesystem_path_flags_t, wasip2_string_t *, filesystem_metadata_hash_value_t *, filesystem_error_code_t *);

// libc asks for the number of the link itself, always: then a link and the file it leads to would be two files.
static filesystem_path_flags_t followed;

bool __wrap_filesystem_method_descriptor_metadata_hash_at(filesystem_borrow_descriptor_t folder, filesystem_path_flags_t flags,
                                                          wasip2_string_t *path, filesystem_metadata_hash_value_t *hash,
                                                          filesystem_error_code_t *error) {
  return __real_filesystem_method_descriptor_metadata_hash_at(folder, flags | followed, path, hash, error);
}

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
  if (device_stat(path, status)) return 0;
  followed = FILESYSTEM_PATH_FLAGS_SYMLINK_FOLLOW;
  int result = __real_stat(path, status);
  followed = 0;
  return with_mode(result, status);
}

int __wrap_lstat(const char *path, struct stat *status) {
  return device_stat(path, status) ? 0 : with_mode(__real_lstat(path, status), status);
}

int __wrap_fstat(int fd, struct stat *status) { return with_mode(__real_fstat(fd, status), status); }

int __wrap_fstatat(int folder, const char *path, struct stat *status, int flags) {
  if (device_stat(path, status)) return 0;
  followed = flags & AT_SYMLINK_NOFOLLOW ? 0 : FILESYSTEM_PATH_FLAGS_SYMLINK_FOLLOW;
  int result = __real_fstatat(folder, path, status, flags);
  followed = 0;
  return with_mode(result, status);
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
