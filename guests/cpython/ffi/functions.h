// The functions of this program that can be found by name while it runs (dlsym).
#pragma once

// What WebAssembly tells apart of values; in signatures 0 means that no further value follows.
enum kind { KIND_NONE, KIND_I32, KIND_I64, KIND_F32, KIND_F64 };

struct named_function {
  const char *name;
  void (*address)(void);
  enum kind result;
};

// NULL if the address is not that of a named function.
const struct named_function *function_at(void (*address)(void));
