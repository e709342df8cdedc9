// Calls of a codec whose library leaves it in the middle when it meets an error.
//
// Elsewhere that is a jump back to the caller, which WebAssembly does not have without exceptions. So the codec runs in a thread
// of its own, which ends there.
#pragma once
#include <pthread.h>
#include <stdbool.h>

struct guarded_call {
  int (*codec)(Imaging, ImagingCodecState, UINT8 *, Py_ssize_t);
  Imaging image;
  ImagingCodecState state;
  UINT8 *buffer;
  Py_ssize_t bytes;
  int result;
  bool done;
};

static void *guarded_run(void *argument) {
  struct guarded_call *call = argument;
  call->result = call->codec(call->image, call->state, call->buffer, call->bytes);
  call->done = true;
  return NULL;
}

// False if the codec did not come to its end.
static bool guarded(
    int (*codec)(Imaging, ImagingCodecState, UINT8 *, Py_ssize_t), Imaging image, ImagingCodecState state, UINT8 *buffer,
    Py_ssize_t bytes, int *result) {
  struct guarded_call call = {codec, image, state, buffer, bytes, 0, false};
  pthread_t thread;
  if (pthread_create(&thread, NULL, guarded_run, &call)) return false;
  pthread_join(thread, NULL);
  *result = call.result;
  return call.done;
}

// The guest has it, though its libc does not declare it.
_Noreturn void pthread_exit(void *value);

static inline void guarded_end(void) { pthread_exit(NULL); }
