// /dev/null, /dev/zero, /dev/random and /dev/urandom.
//
// The host has no devices to lend. Programs open /dev/null as if it were part of the language; a plain file
// in its place would fill up and give back what was written.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

int __real_open(const char *path, int flags, ...);

struct device {
  const char *path;
  ssize_t (*read)(void *buffer, size_t size);
};

static ssize_t read_nothing(void *buffer, size_t size) {
  (void)buffer, (void)size;
  return 0;
}

static ssize_t read_zeros(void *buffer, size_t size) {
  memset(buffer, 0, size);
  return size;
}

static ssize_t read_random(void *buffer, size_t size) {
  if (size > 256) size = 256;  // the most getentropy() gives; a short read is one a program must expect
  return getentropy(buffer, size) < 0 ? -1 : (ssize_t)size;
}

static const struct device devices[] = {
    {"/dev/null", read_nothing},
    {"/dev/zero", read_zeros},
    {"/dev/random", read_random},
    {"/dev/urandom", read_random},
};

static void device_free(void *data) { (void)data; }

static int device_fstat(void *data, struct stat *status) {
  (void)data;
  *status = (struct stat){.st_mode = S_IFCHR | 0666, .st_nlink = 1};
  return 0;
}

static const struct device *device_at(const char *path) {
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    if (!strcmp(path, devices[i].path)) return &devices[i];
  return NULL;
}

bool device_stat(const char *path, struct stat *status) {
  return device_at(path) && device_fstat(NULL, status) == 0;
}

static off_t device_seek(void *data, off_t offset, int whence) {
  (void)data, (void)offset, (void)whence;
  return 0;
}

static int device_set_blocking(void *data, bool blocking) {
  (void)data, (void)blocking;
  return 0;
}

static int device_getfl(void *data) {
  (void)data;
  return O_RDWR;
}

static int device_setfl(void *data, int flags) {
  (void)data, (void)flags;
  return 0;
}

static const struct vtable device_vtable = {
    .free = device_free,
    .set_blocking = device_set_blocking,
    .fstat = device_fstat,
    .seek = device_seek,
    .fcntl_getfl = device_getfl,
    .fcntl_setfl = device_setfl,
};

const char *device_path(const struct description *d) { return ((const struct device *)d->entry.data)->path; }

bool is_device(const struct description *d) { return d->entry.vtable == &device_vtable; }

ssize_t device_read(struct description *d, void *buffer, size_t size) {
  return ((const struct device *)d->entry.data)->read(buffer, size);
}

int __wrap_open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
  va_end(rest);
  if (!strcmp(path, "/dev/tty")) return fail(ENXIO);  // no terminal controls the process
  const struct device *device = device_at(path);
  if (device) {
    if (flags & O_DIRECTORY) return fail(ENOTDIR);
    struct description *d = description_new((void *)device, &device_vtable);
    return d ? descriptor_new(d, 0) : -1;
  }
  // Elsewhere O_RDONLY is 0, and programs leave it out.
  if (!(flags & (O_RDONLY | O_WRONLY | O_EXEC | O_SEARCH))) flags |= O_RDONLY;
  return __real_open(path, flags, mode);
}
