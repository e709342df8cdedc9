// The descriptor table: numbers, duplicates, flags, the standard streams, files.
#include "net.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static void lowest_free_number(void) {
  int fds[2], more[2];
  CHECK(pipe(fds) == 0 && fds[0] == 3 && fds[1] == 4);
  CHECK(pipe(more) == 0 && more[0] == 5 && more[1] == 6);
  CHECK(close(3) == 0 && close(5) == 0);
  CHECK(dup(0) == 3 && dup(0) == 5 && dup(0) == 7);
  CHECK(close(99) == -1 && errno == EBADF);
  CHECK(close(-1) == -1 && errno == EBADF);
  CHECK(pywasm_open_descriptors() == 5);
}

static void dup2_replaces(void) {
  int a[2], b[2];
  char buffer[8];
  CHECK(pipe(a) == 0 && pipe(b) == 0);
  CHECK(dup2(a[1], b[1]) == b[1]);  // the only writer of b is gone
  CHECK(read(b[0], buffer, sizeof buffer) == 0);
  CHECK(write(b[1], "hi", 2) == 2 && read(a[0], buffer, sizeof buffer) == 2);
  CHECK(close(a[1]) == 0);
  CHECK(write(b[1], "on", 2) == 2 && read(a[0], buffer, sizeof buffer) == 2);
  CHECK(dup2(b[1], 100) == 100 && is_open(100) && !is_open(99));
  CHECK(dup2(b[1], b[1]) == b[1]);
  CHECK(dup2(50, 50) == -1 && errno == EBADF);
  CHECK(dup2(50, 3) == -1 && errno == EBADF && is_open(3));
  CHECK(dup2(3, -1) == -1 && errno == EBADF);
  CHECK(dup2(3, 1 << 30) == -1 && errno == EBADF);
  CHECK(dup3(3, 3, 0) == -1 && errno == EINVAL);
}

// What pytest does to capture output.
static void capture_stdout(void) {
  int fds[2], saved = dup(1);
  char buffer[64];
  CHECK(saved >= 3 && pipe(fds) == 0);
  CHECK(dup2(fds[1], 1) == 1);
  printf("captured");
  CHECK(fflush(stdout) == 0);
  CHECK(dup2(saved, 1) == 1);
  CHECK(close(saved) == 0 && close(fds[1]) == 0);
  CHECK(read(fds[0], buffer, sizeof buffer) == 8 && !memcmp(buffer, "captured", 8));
  CHECK(read(fds[0], buffer, sizeof buffer) == 0);
}

static void fcntl_commands(void) {
  int fds[2];
  CHECK(pipe(fds) == 0);
  CHECK(fcntl(fds[0], F_DUPFD, 20) == 20 && fcntl(fds[0], F_DUPFD, 20) == 21);
  CHECK(fcntl(20, F_GETFD) == 0);
  CHECK(fcntl(fds[0], F_DUPFD_CLOEXEC, 30) == 30 && fcntl(30, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(20, F_SETFD, FD_CLOEXEC) == 0 && fcntl(20, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(fds[0], F_GETFD) == 0);  // the flag is the descriptor's own
  CHECK(fcntl(20, F_SETFL, O_NONBLOCK) == 0);
  CHECK(fcntl(fds[0], F_GETFL) == (O_RDONLY | O_NONBLOCK));  // the mode is shared
  CHECK(fcntl(fds[1], F_GETFL) == O_WRONLY);
  CHECK(fcntl(fds[0], F_DUPFD, -1) == -1 && errno == EINVAL);
  CHECK(fcntl(77, F_GETFL) == -1 && errno == EBADF);
  CHECK(fcntl(fds[0], 12345) == -1 && errno == EINVAL);
}

static void ioctl_requests(void) {
  int fds[2], value = 1;
  CHECK(pipe(fds) == 0);
  CHECK(ioctl(fds[0], FIONBIO, &value) == 0 && fcntl(fds[0], F_GETFL) & O_NONBLOCK);
  CHECK(write(fds[1], "abc", 3) == 3 && ioctl(fds[0], FIONREAD, &value) == 0 && value == 3);
  CHECK(ioctl(88, FIONBIO, &value) == -1 && errno == EBADF);
  CHECK(ioctl(fds[0], 12345, &value) == -1 && errno == ENOTTY);
}

static void out_of_descriptors(void) {
  int fd, count = 0;
  while ((fd = dup(0)) >= 0) count++;
  CHECK(errno == EMFILE && count == 65536 - 3);
  CHECK(close(1000) == 0 && dup(0) == 1000);
}

static void standard_streams(void) {
  struct stat status;
  for (int fd = 0; fd < 3; fd++) {
    CHECK(fstat(fd, &status) == 0);
    CHECK(isatty(fd) ? S_ISCHR(status.st_mode) : S_ISFIFO(status.st_mode));
  }
  CHECK(close(0) == 0);
  char buffer[4];
  CHECK(read(0, buffer, 4) == -1 && errno == EBADF);
  CHECK(write(0, buffer, 4) == -1 && errno == EBADF);
}

static void vectors(void) {
  int fds[2];
  char a[3], b[10];
  CHECK(pipe(fds) == 0);
  struct iovec out[] = {{"one", 3}, {NULL, 0}, {"two", 3}, {"three", 5}}, in[] = {{a, 3}, {b, 10}};
  CHECK(writev(fds[1], out, 4) == 11);
  CHECK(readv(fds[0], in, 2) == 11 && !memcmp(a, "one", 3) && !memcmp(b, "twothree", 8));
  CHECK(writev(fds[1], out, -1) == -1 && errno == EINVAL);
}

static void files(void) {
  char buffer[8];
  int fd = open("/tmp/ctests.txt", O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(fd == 3);  // the mounted folders do not show among the descriptors
  CHECK(write(fd, "0123456789", 10) == 10);
  int copy = dup(fd);
  CHECK(lseek(copy, 4, SEEK_SET) == 4 && read(fd, buffer, 2) == 2 && !memcmp(buffer, "45", 2));
  CHECK(lseek(fd, 0, SEEK_CUR) == 6);  // one position for both
  CHECK(poll(&(struct pollfd){fd, POLLIN | POLLOUT, 0}, 1, -1) == 1);
  for (int i = 3; i < 300; i++) close(i);  // as daemons and launchers do
  CHECK((fd = open("/tmp/ctests.txt", O_RDONLY)) == 3);
  CHECK(read(fd, buffer, 8) == 8);
  CHECK(unlink("/tmp/ctests.txt") == 0);
}

static bool is_at(const char *path, const char *expected) {
  struct stat here, there;
  return stat(path, &here) == 0 && stat(expected, &there) == 0 && here.st_ino == there.st_ino;
}

static bool is_missing(const char *path, int error) {
  struct stat status;
  return stat(path, &status) == -1 && errno == error;
}

// As a kernel walks: each folder on the way is there, and a link is followed before the ".." after it.
static void paths_with_dots(void) {
  char folder[64];
  CHECK(mkdir("/tmp/dots", 0755) == 0 && mkdir("/tmp/dots/a", 0755) == 0 && mkdir("/tmp/dots/a/b", 0755) == 0);
  CHECK(close(open("/tmp/dots/file", O_WRONLY | O_CREAT, 0644)) == 0);
  CHECK(symlink("a/b", "/tmp/dots/link") == 0 && symlink("loop", "/tmp/dots/loop") == 0);
  CHECK(is_at("/tmp//dots/./a/..///file", "/tmp/dots/file"));
  CHECK(is_at("/../../tmp/dots", "/tmp/dots") && is_at("/tmp/..", "/") && is_at("/..", "/"));
  CHECK(is_at("/tmp/dots/link/..", "/tmp/dots/a") && is_at("/tmp/dots/link/../../file", "/tmp/dots/file"));
  CHECK(is_missing("/tmp/none/../dots", ENOENT) && is_missing("/tmp/dots/file/../a", ENOTDIR));
  CHECK(is_missing("/tmp/dots/file/", ENOTDIR) && is_missing("/tmp/dots/loop/..", ELOOP));
  CHECK(chdir("/tmp/dots/a/b") == 0 && is_at("../../file", "/tmp/dots/file"));
  CHECK(chdir("..") == 0 && !strcmp(getcwd(folder, sizeof folder), "/tmp/dots/a"));
  CHECK(chdir("b/") == 0 && !strcmp(getcwd(folder, sizeof folder), "/tmp/dots/a/b"));
  CHECK(chdir("../../../../..") == 0 && !strcmp(getcwd(folder, sizeof folder), "/"));
  char longest[9000];
  memset(longest, 'x', sizeof longest);
  memcpy(longest, "/tmp/../", 8);
  longest[sizeof longest - 1] = 0;
  CHECK(is_missing(longest, ENAMETOOLONG));
}

static bool links_to(const char *path, const char *expected) {
  char target[256];
  ssize_t size = readlink(path, target, sizeof target);
  return size == (ssize_t)strlen(expected) && !memcmp(target, expected, size);
}

// From where the link really is, and whether there is anything at the other end or not.
static void absolute_links(void) {
  struct stat link, there;
  CHECK(mkdir("/tmp/far", 0755) == 0 && mkdir("/tmp/far/a", 0755) == 0 && mkdir("/tmp/far/a/b", 0755) == 0);
  CHECK(close(open("/tmp/far/file", O_WRONLY | O_CREAT, 0644)) == 0 && symlink("a/b", "/tmp/far/deep") == 0);
  CHECK(symlink("/tmp/far/file", "/tmp/far/beside") == 0 && links_to("/tmp/far/beside", "/tmp/far/file") && links_to("/tmp/far/deep", "a/b"));
  CHECK(symlink("/tmp/far/file", "/tmp/far/deep/up") == 0 && is_at("/tmp/far/a/b/up", "/tmp/far/file"));
  CHECK(symlink("/tmp/far/a/b", "/tmp/far/down") == 0 && is_at("/tmp/far/down", "/tmp/far/a/b"));
  CHECK(lstat("/tmp/far/down", &link) == 0 && stat("/tmp/far/down", &there) == 0 && link.st_ino != there.st_ino && S_ISLNK(link.st_mode));
  CHECK(symlink("/tmp/far", "/tmp/far/self") == 0 && links_to("/tmp/far/self", "/tmp/far") && is_at("/tmp/far/self", "/tmp/far"));
  CHECK(symlink("/tmp/farther/none", "/tmp/far/a/none") == 0 && links_to("/tmp/far/a/none", "/tmp/farther/none"));
  CHECK(chdir("/tmp/far/a") == 0 && symlink("/tmp/far/file", "b/../here") == 0 && is_at("/tmp/far/a/here", "/tmp/far/file"));
  CHECK(symlink("/tmp/far/file", "/tmp/far/beside") == -1 && errno == EEXIST);
  CHECK(symlink("/tmp/far/file", "/tmp/none/link") == -1 && errno == ENOENT);
  CHECK(chdir("/") == 0);
}

static int shared_file;

static void *read_and_seek(void *unused) {
  (void)unused;
  char buffer[4096];
  for (int i = 0; i < 50; i++) {
    CHECK(lseek(shared_file, 0, SEEK_SET) == 0);
    CHECK(read(shared_file, buffer, sizeof buffer) >= 0);
  }
  return NULL;
}

static void file_shared_by_threads(void) {
  pthread_t threads[4];
  static char data[65536];
  shared_file = open("/tmp/ctests-shared.bin", O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(shared_file >= 0 && write(shared_file, data, sizeof data) > 0);
  for (int i = 0; i < 4; i++) threads[i] = start(read_and_seek, NULL);
  for (int i = 0; i < 4; i++) join(threads[i]);
  CHECK(close(shared_file) == 0 && unlink("/tmp/ctests-shared.bin") == 0);
}

static void devices(void) {
  char buffer[300] = {1};
  int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), random = open("/dev/urandom", O_RDONLY);
  CHECK(null >= 0 && zero >= 0 && random >= 0);
  CHECK(write(null, buffer, sizeof buffer) == sizeof buffer && read(null, buffer, sizeof buffer) == 0);
  CHECK(read(zero, buffer, 2) == 2 && !buffer[0] && !buffer[1]);
  char first[16], second[16];
  CHECK(read(random, first, sizeof first) == 16 && read(random, second, sizeof second) == 16);
  CHECK(memcmp(first, second, sizeof first));
  struct stat status;
  CHECK(fstat(null, &status) == 0 && S_ISCHR(status.st_mode));
  struct pollfd waited = {null, POLLIN | POLLOUT, 0};
  CHECK(poll(&waited, 1, -1) == 1 && waited.revents == (POLLIN | POLLOUT));
}

const struct test_case descriptor_cases[] = {
    {.name = "devices", .run = devices},
    {.name = "lowest_free_number", .run = lowest_free_number},
    {.name = "dup2_replaces", .run = dup2_replaces},
    {.name = "capture_stdout", .run = capture_stdout},
    {.name = "fcntl_commands", .run = fcntl_commands},
    {.name = "ioctl_requests", .run = ioctl_requests},
    {.name = "out_of_descriptors", .run = out_of_descriptors},
    {.name = "standard_streams", .run = standard_streams},
    {.name = "vectors", .run = vectors},
    {.name = "files", .run = files, .needs = "tmp"},
    {.name = "paths_with_dots", .run = paths_with_dots, .needs = "tmp"},
    {.name = "absolute_links", .run = absolute_links, .needs = "tmp"},
    {.name = "file_shared_by_threads", .run = file_shared_by_threads, .needs = "tmp"},
    {0},
};
