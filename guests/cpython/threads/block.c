// The calls in which this libc blocks the whole instance, turned into parking. Linked with --wrap.
//
// With one thread they block in the host as they would without this library.
#include "coop.h"

#include <errno.h>
#include <stdlib.h>

extern bool __real_streams_method_output_stream_blocking_flush(streams_borrow_output_stream_t,
                                                               streams_stream_error_t *);

// May return before the pollable is ready, when coop_wake() calls the thread back; libc's callers try
// again in a loop.
void __wrap_poll_method_pollable_block(poll_borrow_pollable_t pollable) {
  if (coop_alone()) {
    coop_host_block(pollable);
    return;
  }
  bool ready = false;
  coop_park(NULL, COOP_FOREVER, &(struct coop_io){&pollable, 1, &ready});
}

void __wrap_poll_poll(poll_list_borrow_pollable_t *in, wasip2_list_u32_t *out) {
  bool *ready = coop_alone() ? NULL : calloc(in->len, sizeof *ready);
  size_t count = 0;
  while (!count) {
    // Without memory for the waiting list the call still does what it says, only less politely.
    if (!ready || !coop_reserve_io(in->len)) {
      free(ready);
      coop_host_poll(in, out);
      return;
    }
    coop_park(NULL, COOP_FOREVER, &(struct coop_io){in->ptr, in->len, ready});
    for (size_t i = 0; i < in->len; i++) count += ready[i];
  }
  out->ptr = malloc(count * sizeof *out->ptr);
  if (!out->ptr) abort();
  out->len = 0;
  for (size_t i = 0; i < in->len; i++)
    if (ready[i]) out->ptr[out->len++] = i;
  free(ready);
}

bool __wrap_streams_method_output_stream_blocking_flush(streams_borrow_output_stream_t stream,
                                                        streams_stream_error_t *error) {
  if (coop_alone()) return __real_streams_method_output_stream_blocking_flush(stream, error);
  if (!streams_method_output_stream_flush(stream, error)) return false;
  for (;;) {
    uint64_t room;
    // A stream takes nothing while it flushes.
    if (!streams_method_output_stream_check_write(stream, &room, error)) return false;
    if (room) return true;
    streams_own_pollable_t flushed = streams_method_output_stream_subscribe(stream);
    __wrap_poll_method_pollable_block(poll_borrow_pollable(flushed));
    poll_pollable_drop_own(flushed);
  }
}
