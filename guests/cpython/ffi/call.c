// libffi for wasm32-wasip2: calls of functions whose signature is known only while the program runs.
//
// WebAssembly calls a function only by code that has its signature, and code cannot be made at run time. So there is code for
// each signature of up to THREE_OF_ANY values of any kind and up to MOST_I32 of 32 bits (pointers and integers: nearly all of
// C), and other calls are refused when they are prepared. A function that is called by another signature than its own traps.
// For the same reason there are no closures: a Python function cannot become a C function.
#include <ffi.h>
#include <ffi_common.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "functions.h"

enum { THREE_OF_ANY = 3, MOST_I32 = 12, BITS = 3 };

union value {
  int32_t i32;
  int64_t i64;
  float f32;
  double f64;
};

struct call {
  union value values[MOST_I32];
  unsigned count;
  // The kinds of the values, BITS bits each, the first lowest.
  uint64_t signature;
  bool only_i32, possible;
};

static void push(struct call *call, enum kind kind, union value value) {
  call->only_i32 = call->only_i32 && kind == KIND_I32;
  call->possible = call->possible && call->count < (call->only_i32 ? MOST_I32 : THREE_OF_ANY);
  if (!call->possible) return;
  call->values[call->count] = value;
  call->signature |= (uint64_t)kind << (BITS * call->count++);
}

static void push_pointer(struct call *call, const void *pointer) { push(call, KIND_I32, (union value){.i32 = (int32_t)(uintptr_t)pointer}); }

// A structure of one member is passed as that member.
static const ffi_type *unwrap(const ffi_type *type) {
  while (type->type == FFI_TYPE_STRUCT && type->elements && type->elements[0] && !type->elements[1]) type = type->elements[0];
  return type;
}

// Whether a result is written where a hidden first argument points to.
static bool by_pointer(const ffi_type *type) { return type->type == FFI_TYPE_STRUCT || type->type == FFI_TYPE_LONGDOUBLE; }

static enum kind kind_of(const ffi_type *type) {
  switch (type->type) {
    case FFI_TYPE_VOID: return KIND_NONE;
    case FFI_TYPE_FLOAT: return KIND_F32;
    case FFI_TYPE_DOUBLE: return KIND_F64;
    case FFI_TYPE_UINT64:
    case FFI_TYPE_SINT64: return KIND_I64;
    default: return KIND_I32;
  }
}

static union value load(const ffi_type *type, const void *from) {
  switch (type->type) {
    case FFI_TYPE_UINT8: return (union value){.i32 = *(const uint8_t *)from};
    case FFI_TYPE_SINT8: return (union value){.i32 = *(const int8_t *)from};
    case FFI_TYPE_UINT16: return (union value){.i32 = *(const uint16_t *)from};
    case FFI_TYPE_SINT16: return (union value){.i32 = *(const int16_t *)from};
    case FFI_TYPE_FLOAT: return (union value){.f32 = *(const float *)from};
    case FFI_TYPE_DOUBLE: return (union value){.f64 = *(const double *)from};
    case FFI_TYPE_UINT64:
    case FFI_TYPE_SINT64: return (union value){.i64 = *(const int64_t *)from};
    default: return (union value){.i32 = *(const int32_t *)from};
  }
}

static void push_argument(struct call *call, const ffi_type *type, const void *argument) {
  type = unwrap(type);
  if (type->type == FFI_TYPE_STRUCT) {
    push_pointer(call, argument);
  } else if (type->type == FFI_TYPE_LONGDOUBLE) {
    push(call, KIND_I64, (union value){.i64 = ((const int64_t *)argument)[0]});
    push(call, KIND_I64, (union value){.i64 = ((const int64_t *)argument)[1]});
  } else {
    push(call, kind_of(type), load(type, argument));
  }
}

// Variable arguments lie in memory one after the other; structures among them by their address. Gives the size.
static size_t lay_out_variable(const ffi_cif *cif, void **arguments, char *to) {
  size_t size = 0;
  for (unsigned i = cif->nfixedargs; i < cif->nargs; i++) {
    const ffi_type *type = cif->arg_types[i];
    bool indirect = unwrap(type)->type == FFI_TYPE_STRUCT;
    size_t bytes = indirect ? sizeof(void *) : type->size;
    size = FFI_ALIGN(size, indirect ? sizeof(void *) : type->alignment > sizeof(int) ? type->alignment : sizeof(int));
    if (to) memcpy(to + size, indirect ? (const void *)&arguments[i] : arguments[i], bytes);
    size += bytes;
  }
  return size;
}

// A call without its values, to learn whether it is possible, if `arguments` is NULL.
static struct call prepare(const ffi_cif *cif, void **arguments, void *result, const void *variable) {
  static const int64_t nothing[2];
  struct call call = {.only_i32 = true, .possible = true};
  if (by_pointer(unwrap(cif->rtype))) push_pointer(&call, result);
  for (unsigned i = 0; i < cif->nfixedargs; i++) push_argument(&call, cif->arg_types[i], arguments ? arguments[i] : nothing);
  if (cif->nfixedargs < cif->nargs) push_pointer(&call, variable);
  return call;
}

ffi_status ffi_prep_cif_machdep_var(ffi_cif *cif, unsigned fixed, unsigned all) {
  (void)all;
  cif->nfixedargs = fixed;
  return prepare(cif, NULL, NULL, NULL).possible ? FFI_OK : FFI_BAD_TYPEDEF;
}

ffi_status ffi_prep_cif_machdep(ffi_cif *cif) { return ffi_prep_cif_machdep_var(cif, cif->nargs, cif->nargs); }

// The signatures, as macros that give one `case` each: TYPES and VALUES are lists in parentheses.
#define CALL(TYPES, VALUES)                                                        \
  switch (result) {                                                                \
    case KIND_NONE: ((void (*) TYPES)function) VALUES; break;                      \
    case KIND_I32: to->i32 = ((int32_t(*) TYPES)function) VALUES; break;           \
    case KIND_I64: to->i64 = ((int64_t(*) TYPES)function) VALUES; break;           \
    case KIND_F32: to->f32 = ((float (*) TYPES)function) VALUES; break;            \
    case KIND_F64: to->f64 = ((double (*) TYPES)function) VALUES; break;           \
  }                                                                                \
  break;
#define TYPE_i32 int32_t
#define TYPE_i64 int64_t
#define TYPE_f32 float
#define TYPE_f64 double
#define KIND_i32 KIND_I32
#define KIND_i64 KIND_I64
#define KIND_f32 KIND_F32
#define KIND_f64 KIND_F64
#define ONE(a) case KIND_##a: CALL((TYPE_##a), (v[0].a))
#define TWO(a, b) case KIND_##a | KIND_##b << BITS: CALL((TYPE_##a, TYPE_##b), (v[0].a, v[1].b))
#define THREE(a, b, c) \
  case KIND_##a | KIND_##b << BITS | KIND_##c << 2 * BITS: CALL((TYPE_##a, TYPE_##b, TYPE_##c), (v[0].a, v[1].b, v[2].c))
#define EACH(M) M(i32) M(i64) M(f32) M(f64)
#define EACH_AFTER(M, a) M(a, i32) M(a, i64) M(a, f32) M(a, f64)
#define EACH_AFTER_TWO(a, b) THREE(a, b, i32) THREE(a, b, i64) THREE(a, b, f32) THREE(a, b, f64)
#define TWOS(a) EACH_AFTER(TWO, a)
#define THREES(a) EACH_AFTER(EACH_AFTER_TWO, a)
#define I32 int32_t
#define ALL_I32(n) (((uint64_t)1 << BITS * (n)) - 1) / ((1 << BITS) - 1) * KIND_I32
#define V(n) v[n].i32

static void invoke(void (*function)(void), const struct call *call, enum kind result, union value *to) {
  const union value *v = call->values;
  switch (call->signature) {
    case 0: CALL((void), ())
    EACH(ONE)
    EACH(TWOS)
    EACH(THREES)
    case ALL_I32(4): CALL((I32, I32, I32, I32), (V(0), V(1), V(2), V(3)))
    case ALL_I32(5): CALL((I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4)))
    case ALL_I32(6): CALL((I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5)))
    case ALL_I32(7): CALL((I32, I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5), V(6)))
    case ALL_I32(8): CALL((I32, I32, I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7)))
    case ALL_I32(9): CALL((I32, I32, I32, I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), V(8)))
    case ALL_I32(10):
      CALL((I32, I32, I32, I32, I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), V(8), V(9)))
    case ALL_I32(11):
      CALL((I32, I32, I32, I32, I32, I32, I32, I32, I32, I32, I32), (V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), V(8), V(9), V(10)))
    case ALL_I32(12):
      CALL((I32, I32, I32, I32, I32, I32, I32, I32, I32, I32, I32, I32),
           (V(0), V(1), V(2), V(3), V(4), V(5), V(6), V(7), V(8), V(9), V(10), V(11)))
    default: abort();  // ffi_prep_cif refuses all others
  }
}

void ffi_call(ffi_cif *cif, void (*function)(void), void *result, void **arguments) {
  // A callee may change the structures it is given.
  void **own = alloca(cif->nargs * sizeof(void *) + 1);
  for (unsigned i = 0; i < cif->nargs; i++) {
    const ffi_type *type = cif->arg_types[i];
    own[i] = type->type == FFI_TYPE_STRUCT ? memcpy(alloca(type->size), arguments[i], type->size) : arguments[i];
  }
  char *variable = alloca(lay_out_variable(cif, own, NULL) + 1 + sizeof(double));
  variable = (char *)FFI_ALIGN(variable, sizeof(double));
  lay_out_variable(cif, own, variable);

  const ffi_type *type = unwrap(cif->rtype);
  struct call call = prepare(cif, own, result, variable);
  enum kind kind = by_pointer(type) ? KIND_NONE : kind_of(type);
  // Python programs take it that a result can be left out or be made up: of functions that are known the own is called for.
  const struct named_function *known = function_at(function);
  union value value = {0};
  invoke(function, &call, known ? known->result : kind, &value);
  switch (kind) {
    case KIND_NONE: break;
    case KIND_I64:
    case KIND_F64: memcpy(result, &value, sizeof(int64_t)); break;
    case KIND_I32:
    case KIND_F32: memcpy(result, &value, sizeof(int32_t)); break;
  }
}

void *ffi_closure_alloc(size_t size, void **code) { return *code = malloc(size); }

void ffi_closure_free(void *closure) { free(closure); }

ffi_status ffi_prep_closure_loc(ffi_closure *closure, ffi_cif *cif, void (*function)(ffi_cif *, void *, void **, void *), void *data, void *code) {
  (void)closure, (void)cif, (void)function, (void)data, (void)code;
  return FFI_BAD_ABI;
}
