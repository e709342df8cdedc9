// The program's processes: our import `pywasm:guest/processes`, and what the files of this folder do with it.
#pragma once

#include "descriptor.h"

// ---- The interface in C (../wit/processes.wit). The order of the members is that of the canonical ABI.

struct text {
  const char *data;
  size_t size;
};

enum source { SOURCE_STANDARD, SOURCE_READER, SOURCE_WRITER, SOURCE_BOTH, SOURCE_FILE, SOURCE_DEVICE };

// A descriptor as it is lent to a new process and as that gets it.
struct passed {
  uint32_t number;
  uint8_t source __attribute__((aligned(8)));
  union {
    uint8_t standard;
    int32_t reader, writer;
    struct {
      int32_t reader, writer;
    } both;
    struct {
      int32_t file;
      uint64_t position;
      bool append;
    } file;
    struct text device;
  };
};
_Static_assert(sizeof(struct passed) == 40, "as the canonical ABI lays it out");

// ---- Between the files of this folder

// stream.c: an end of a pipe that other processes have too. -1 for a direction that it has not.
int stream_new(int32_t reader, int32_t writer);
bool stream_vtable_for(struct entry *entry, int32_t reader, int32_t writer);
bool is_stream(const struct description *description);
short stream_directions(const struct description *description);  // POLLIN, POLLOUT or both
poll_borrow_pollable_t stream_abandoned(const struct description *description);  // of one to write to alone
void stream_lend(const struct description *description, struct passed *passed);

// pair.c: makes both ends of a pair streams. Returns 0 or -1.
int pair_share(struct description *description);

// io.c: reads from whatever the description has become.
ssize_t description_read(struct description *description, void *buffer, size_t size);
ssize_t description_write(struct description *description, const void *buffer, size_t size);

// device.c
const char *device_path(const struct description *description);

// descriptor.c
void descriptor_place(int fd, struct description *description);  // takes over the caller's hold
struct description *descriptor_take(int fd);                     // and gives it one

void descriptor_release(struct description *description);        // gives one back

// process.c: arranges descriptors as this process was started with; 0, 1 and 2 are the standard streams before.
bool process_inherit(void);
// Lets go of the host's handles, for a snapshot.
void process_forget(void);
// A pipe of the host. Returns 0 or -1.
int process_pipe(int32_t *reader, int32_t *writer);
// Ready when nobody can read any more what is written to it.
poll_own_pollable_t process_pipe_abandoned(int32_t writer);

// What `_posixsubprocess` asks for.
struct pywasm_spawn {
  const char *const *arguments;    // the first is the program; ends with null
  const char *const *environment;  // NAME=VALUE; ends with null
  const char *folder;
  const int (*descriptors)[2];  // {number in the new process, ours}
  size_t descriptor_count;
};
// Returns the process's number, or -1. `reason` is then what the host says, to be freed, or null.
int pywasm_spawn(const struct pywasm_spawn *request, char **reason);
