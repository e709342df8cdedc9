// Writes the profile at the program's end. Elsewhere compiler-rt does this in C++, with constructors that link in only when the
// compiler drives the link.
#include <stdlib.h>

int __llvm_profile_runtime;

void __llvm_profile_initialize(void);
int __llvm_profile_write_file(void);

static void write_profile(void) { __llvm_profile_write_file(); }

__attribute__((constructor)) static void start(void) {
  __llvm_profile_initialize();
  atexit(write_profile);
}
