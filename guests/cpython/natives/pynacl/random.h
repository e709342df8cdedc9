/* libsodium draws with arc4random under WASI, which libc answers from a generator in memory: a snapshot would hold its
   state, and all that start from it would draw the same keys. Here each draw asks the host. */
#ifndef PYWASM_SODIUM_RANDOM_H
#define PYWASM_SODIUM_RANDOM_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static inline void pywasm_random(void *buffer, size_t size) {
  for (unsigned char *to = buffer; size > 0;) {
    size_t some = size < 256 ? size : 256;
    if (getentropy(to, some) != 0) abort();
    to += some;
    size -= some;
  }
}

static inline uint32_t pywasm_random_number(void) {
  uint32_t number;
  pywasm_random(&number, sizeof number);
  return number;
}

#define arc4random pywasm_random_number
#define arc4random_buf pywasm_random

#endif
