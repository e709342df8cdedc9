// The routines of LAPACK that are written in newer Fortran than f2c knows, after the text of release 3.12.1.
#include <complex.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#define SINGLE(double, single) single
#define DOUBLE(double, single) double

#define KIND DOUBLE
#define REAL double
#define NAMED(name) d##name##_
#define NAMED_COMPLEX(name) z##name##_
#define INDEX(name) id##name##_
#include "modern.h"
#undef KIND
#undef REAL
#undef NAMED
#undef NAMED_COMPLEX
#undef INDEX

#define KIND SINGLE
#define REAL float
#define NAMED(name) s##name##_
#define NAMED_COMPLEX(name) c##name##_
#define INDEX(name) is##name##_
#include "modern.h"

// The one routine whose caller tells how long its text is. What is wrong is told to the caller by a code, too: its program goes on.
void xerbla_(char *routine, int *argument, int length) {
  while (length && routine[length - 1] == ' ') length--;
  fprintf(stderr, " ** On entry to %.*s parameter number %2d had an illegal value\n", length, routine, *argument);
}

void xerbla_array_(char *routine, int *length, int *argument) { xerbla_(routine, argument, *length); }
