// OpenSSL's random bytes, straight from the host.
//
// OpenSSL's own generator seeds itself once and then computes. Its state would be part of a snapshot of the guest, and
// every instance started from it would draw the same keys. The host's generator is no slower for the few bytes at a
// time that TLS takes, and has no state in the guest.
#include <openssl/rand.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 256 };  // of getentropy()

static int fill(unsigned char *buffer, size_t size) {
  while (size) {
    size_t part = size < MOST_AT_ONCE ? size : MOST_AT_ONCE;
    if (getentropy(buffer, part) != 0) return 0;
    buffer += part;
    size -= part;
  }
  return 1;
}

int __wrap_RAND_bytes_ex(OSSL_LIB_CTX *context, unsigned char *buffer, size_t size, unsigned strength) {
  (void)context, (void)strength;
  return fill(buffer, size);
}

int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *context, unsigned char *buffer, size_t size, unsigned strength) {
  (void)context, (void)strength;
  return fill(buffer, size);
}

int __wrap_RAND_bytes(unsigned char *buffer, int size) { return size < 0 ? 0 : fill(buffer, size); }
int __wrap_RAND_priv_bytes(unsigned char *buffer, int size) { return size < 0 ? 0 : fill(buffer, size); }
