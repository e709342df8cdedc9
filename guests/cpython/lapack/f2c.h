// What f2c's C asks for: its types, and what it makes of Fortran's intrinsic functions, here to be inlined.
#pragma once
#include <complex.h>
#include <math.h>
#include <string.h>

typedef int integer;
typedef int logical;
typedef int ftnlen;
typedef char *address;
typedef short shortlogical;
typedef float real;
typedef double doublereal;
typedef struct { real r, i; } complex_real;
typedef struct { doublereal r, i; } doublecomplex;
// The last word that the C library's complex.h may have.
#undef complex
#define complex complex_real
#define VOID void
typedef logical (*L_fp)();

#define TRUE_ 1
#define FALSE_ 0
#define abs(x) ((x) >= 0 ? (x) : -(x))
#define dabs(x) fabs(x)
#define min(a, b) ((a) <= (b) ? (a) : (b))
#define max(a, b) ((a) >= (b) ? (a) : (b))
#define dmin(a, b) min(a, b)
#define dmax(a, b) max(a, b)

#define INTRINSIC static inline __attribute__((unused))

INTRINSIC doublereal r_imag(complex *z) { return z->i; }
INTRINSIC doublereal d_imag(doublecomplex *z) { return z->i; }
INTRINSIC void r_cnjg(complex *r, complex *z) { *r = (complex){z->r, -z->i}; }
INTRINSIC void d_cnjg(doublecomplex *r, doublecomplex *z) { *r = (doublecomplex){z->r, -z->i}; }
INTRINSIC doublereal d_sign(doublereal *a, doublereal *b) { return copysign(*a, *b); }
INTRINSIC doublereal r_sign(real *a, real *b) { return copysignf(*a, *b); }
INTRINSIC integer i_sign(integer *a, integer *b) { return (*b < 0) == (*a < 0) ? *a : -*a; }
INTRINSIC doublereal d_mod(doublereal *a, doublereal *b) { return fmod(*a, *b); }
INTRINSIC doublereal r_mod(real *a, real *b) { return fmodf(*a, *b); }
INTRINSIC integer i_nint(real *a) { return (integer)roundf(*a); }
INTRINSIC integer i_dnnt(doublereal *a) { return (integer)round(*a); }
INTRINSIC doublereal d_int(doublereal *a) { return trunc(*a); }
INTRINSIC doublereal r_int(real *a) { return truncf(*a); }
INTRINSIC doublereal d_lg10(doublereal *a) { return log10(*a); }
INTRINSIC doublereal r_lg10(real *a) { return log10f(*a); }
INTRINSIC doublereal d_prod(real *a, real *b) { return (doublereal)*a * *b; }

INTRINSIC doublereal z_abs(doublecomplex *z) { return hypot(z->r, z->i); }
INTRINSIC doublereal c_abs(complex *z) { return hypotf(z->r, z->i); }

#define COMPLEX_FUNCTION(name, type, value, expression)                \
  INTRINSIC void name(type *r, type *a) {                              \
    value _Complex z = a->r + a->i * (value _Complex)_Complex_I, w = expression; \
    *r = (type){__real__ w, __imag__ w};                               \
  }
COMPLEX_FUNCTION(z_sqrt, doublecomplex, double, csqrt(z))
COMPLEX_FUNCTION(c_sqrt, complex, float, csqrtf(z))
COMPLEX_FUNCTION(z_exp, doublecomplex, double, cexp(z))
COMPLEX_FUNCTION(c_exp, complex, float, cexpf(z))

// Scaled by the larger part of the divisor.
#define DIVIDE(name, type, value, magnitude)                                                                  \
  INTRINSIC void name(type *r, type *a, type *b) {                                                            \
    type x = *a;                                                                                              \
    if (magnitude(b->r) >= magnitude(b->i)) {                                                                 \
      value ratio = b->i / b->r, whole = b->r + b->i * ratio;                                                 \
      *r = (type){(x.r + x.i * ratio) / whole, (x.i - x.r * ratio) / whole};                                  \
    } else {                                                                                                  \
      value ratio = b->r / b->i, whole = b->i + b->r * ratio;                                                 \
      *r = (type){(x.r * ratio + x.i) / whole, (x.i * ratio - x.r) / whole};                                  \
    }                                                                                                         \
  }
DIVIDE(z_div, doublecomplex, double, fabs)
DIVIDE(c_div, complex, float, fabsf)

// f2c declares all functions of numbers as double.
#define POWER(name, returned, type)                           \
  INTRINSIC returned name(type *base, integer *exponent) {    \
    type x = *exponent < 0 ? 1 / *base : *base, result = 1;   \
    for (unsigned n = abs(*exponent); n; n >>= 1, x *= x)     \
      if (n & 1) result *= x;                                 \
    return result;                                            \
  }
POWER(pow_di, doublereal, doublereal)
POWER(pow_ri, doublereal, real)
INTRINSIC integer pow_ii(integer *base, integer *exponent) {
  integer x = *base, result = 1;
  if (*exponent < 0) return x == 1 ? 1 : x == -1 ? (*exponent & 1 ? -1 : 1) : 0;
  for (unsigned n = *exponent; n; n >>= 1, x = (integer)((unsigned)x * x))
    if (n & 1) result = (integer)((unsigned)result * x);
  return result;
}

#define COMPLEX_POWER(name, type, divide)                                                                  \
  INTRINSIC void name(type *r, type *base, integer *exponent) {                                                   \
    type x = *base, result = {1, 0};                                                                              \
    if (*exponent < 0) divide(&x, &result, base);                                                                 \
    for (unsigned n = abs(*exponent); n; n >>= 1, x = (type){x.r * x.r - x.i * x.i, 2 * x.r * x.i})               \
      if (n & 1) result = (type){result.r * x.r - result.i * x.i, result.r * x.i + result.i * x.r};               \
    *r = result;                                                                                                  \
  }
COMPLEX_POWER(pow_zi, doublecomplex, z_div)
COMPLEX_POWER(pow_ci, complex, c_div)

INTRINSIC doublereal pow_dd(doublereal *a, doublereal *b) { return pow(*a, *b); }

// Strings are padded with blanks.
INTRINSIC void s_copy(char *to, char *from, ftnlen to_length, ftnlen from_length) {
  ftnlen taken = min(to_length, from_length);
  memmove(to, from, taken);
  memset(to + taken, ' ', to_length - taken);
}

INTRINSIC integer s_cmp(char *a, char *b, ftnlen a_length, ftnlen b_length) {
  for (ftnlen i = 0; i < max(a_length, b_length); i++) {
    int difference = (i < a_length ? (unsigned char)a[i] : ' ') - (i < b_length ? (unsigned char)b[i] : ' ');
    if (difference) return difference;
  }
  return 0;
}

INTRINSIC void s_cat(char *to, char **parts, integer *lengths, integer *count, ftnlen length) {
  for (integer i = 0; i < *count; i++) {
    ftnlen taken = min(length, lengths[i]);
    memcpy(to, parts[i], taken);
    to += taken;
    length -= taken;
  }
  memset(to, ' ', length);
}

INTRINSIC integer i_len(char *text, ftnlen length) { return length; }
