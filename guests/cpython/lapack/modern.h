// Included for each precision.

#define SAFE_MINIMUM KIND(DBL_MIN, FLT_MIN)
#define SAFE_MAXIMUM (1 / SAFE_MINIMUM)
#define ABSOLUTE KIND(fabs, fabsf)
#define ROOT KIND(sqrt, sqrtf)
#define CLAMPED(x) KIND(fmin, fminf)(SAFE_MAXIMUM, KIND(fmax, fmaxf)(SAFE_MINIMUM, x))

REAL NAMED(lamch)(char *what) {
  switch (*what & ~0x20) {
    case 'E': return KIND(DBL_EPSILON, FLT_EPSILON) / 2;
    case 'S': return SAFE_MINIMUM;
    case 'B': return 2;
    case 'P': return KIND(DBL_EPSILON, FLT_EPSILON);
    case 'N': return KIND(DBL_MANT_DIG, FLT_MANT_DIG);
    case 'R': return 1;
    case 'M': return KIND(DBL_MIN_EXP, FLT_MIN_EXP);
    case 'U': return SAFE_MINIMUM;
    case 'L': return KIND(DBL_MAX_EXP, FLT_MAX_EXP);
    case 'O': return KIND(DBL_MAX, FLT_MAX);
  }
  return 0;
}

// Apart from its callers, so that what they add is rounded.
REAL NAMED(lamc3)(REAL *a, REAL *b) { return *a + *b; }

// The size of working memory as a number that is no smaller when it is turned back.
REAL NAMED(roundup_lwork)(int *size) {
  REAL rounded = *size;
  return (long long)rounded < *size ? rounded * (1 + KIND(DBL_EPSILON, FLT_EPSILON)) : rounded;
}

void NAMED(lartg)(REAL *f, REAL *g, REAL *c, REAL *s, REAL *r) {
  REAL minimum = ROOT(SAFE_MINIMUM), maximum = ROOT(SAFE_MAXIMUM / 2);
  REAL f0 = *f, g0 = *g, f1 = ABSOLUTE(f0), g1 = ABSOLUTE(g0);
  if (g0 == 0) {
    *c = 1, *s = 0, *r = f0;
  } else if (f0 == 0) {
    *c = 0, *s = KIND(copysign, copysignf)(1, g0), *r = g1;
  } else if (f1 > minimum && f1 < maximum && g1 > minimum && g1 < maximum) {
    REAL d = ROOT(f0 * f0 + g0 * g0);
    *c = f1 / d;
    *r = KIND(copysign, copysignf)(d, f0);
    *s = g0 / *r;
  } else {
    REAL u = CLAMPED(KIND(fmax, fmaxf)(f1, g1)), fs = f0 / u, gs = g0 / u, d = ROOT(fs * fs + gs * gs);
    *c = ABSOLUTE(fs) / d;
    *r = KIND(copysign, copysignf)(d, f0);
    *s = gs / *r;
    *r *= u;
  }
}

static REAL NAMED(larger)(REAL _Complex z) { return KIND(fmax, fmaxf)(ABSOLUTE(__real__ z), ABSOLUTE(__imag__ z)); }
static REAL NAMED(squared)(REAL _Complex z) { return __real__ z * __real__ z + __imag__ z * __imag__ z; }
// Without the checks for infinity that C asks for and Fortran does not.
static REAL _Complex NAMED(times)(REAL _Complex a, REAL _Complex b) {
  REAL _Complex product;
  __real__ product = __real__ a * __real__ b - __imag__ a * __imag__ b;
  __imag__ product = __real__ a * __imag__ b + __imag__ a * __real__ b;
  return product;
}

void NAMED_COMPLEX(lartg)(REAL _Complex *f, REAL _Complex *g, REAL *c, REAL _Complex *s, REAL _Complex *r) {
  REAL minimum = ROOT(SAFE_MINIMUM), maximum, u = 1, w = 1, f2, g2, h2, d;
  REAL _Complex fs = *f, gs = *g;
  if (gs == 0) {
    *c = 1, *s = 0, *r = fs;
    return;
  }
  REAL f1 = NAMED(larger)(fs), g1 = NAMED(larger)(gs);
  if (fs == 0) {
    *c = 0;
    if (__real__ gs == 0 || __imag__ gs == 0) {
      d = g1;
    } else {
      maximum = ROOT(SAFE_MAXIMUM / 2);
      if (!(g1 > minimum && g1 < maximum)) {
        u = CLAMPED(g1);
        gs /= u;
      }
      d = ROOT(NAMED(squared)(gs));
    }
    *s = ~gs / d;
    *r = d * u;
    return;
  }
  maximum = ROOT(SAFE_MAXIMUM / 4);
  if (f1 > minimum && f1 < maximum && g1 > minimum && g1 < maximum) {
    f2 = NAMED(squared)(fs);
    h2 = f2 + NAMED(squared)(gs);
  } else {
    u = CLAMPED(KIND(fmax, fmaxf)(f1, g1));
    gs /= u;
    g2 = NAMED(squared)(gs);
    if (f1 / u < minimum) {  // too small beside g: scaled by itself
      REAL v = CLAMPED(f1);
      w = v / u;
      fs /= v;
      f2 = NAMED(squared)(fs);
      h2 = f2 * w * w + g2;
    } else {
      fs /= u;
      f2 = NAMED(squared)(fs);
      h2 = f2 + g2;
    }
  }
  if (f2 >= h2 * SAFE_MINIMUM) {
    *c = ROOT(f2 / h2);
    *r = fs / *c;
    maximum *= 2;
    *s = NAMED(times)(~gs, f2 > minimum && h2 < maximum ? fs / ROOT(f2 * h2) : *r / h2);
  } else {
    d = ROOT(f2 * h2);
    *c = f2 / d;
    *r = *c >= SAFE_MINIMUM ? fs / *c : fs * (h2 / d);
    *s = NAMED(times)(~gs, fs / d);
  }
  *c *= w;
  *r *= u;
}

#define TOO_SMALL KIND(0x1p-511, 0x1p-63f)
#define TOO_BIG KIND(0x1p486, 0x1p52f)
#define SCALE_SMALL KIND(0x1p537, 0x1p75f)
#define SCALE_BIG KIND(0x1p-538, 0x1p-76f)

// The sum of squares of `n` times `parts` numbers, scaled.
static void NAMED(sum)(int n, int parts, REAL *x, int step, REAL *scale, REAL *sum) {
  if (*scale != *scale || *sum != *sum) return;
  if (*sum == 0) *scale = 1;
  if (*scale == 0) *scale = 1, *sum = 0;
  if (n <= 0) return;
  int not_big = 1;
  REAL small = 0, medium = 0, big = 0;
  if (step < 0) x -= (long)(n - 1) * step * parts;
  for (int i = 0; i < n; i++, x += (long)step * parts)
    for (int part = 0; part < parts; part++) {
      REAL a = ABSOLUTE(x[part]);
      if (a > TOO_BIG) {
        big += (a * SCALE_BIG) * (a * SCALE_BIG);
        not_big = 0;
      } else if (a < TOO_SMALL) {
        if (not_big) small += (a * SCALE_SMALL) * (a * SCALE_SMALL);
      } else {
        medium += a * a;
      }
    }
  if (*sum > 0) {
    REAL a = *scale * ROOT(*sum);
    if (a > TOO_BIG) {
      if (*scale > 1) {
        *scale *= SCALE_BIG;
        big += *scale * (*scale * *sum);
      } else {
        big += *scale * (*scale * (SCALE_BIG * (SCALE_BIG * *sum)));
      }
    } else if (a < TOO_SMALL) {
      if (not_big) {
        if (*scale < 1) {
          *scale *= SCALE_SMALL;
          small += *scale * (*scale * *sum);
        } else {
          small += *scale * (*scale * (SCALE_SMALL * (SCALE_SMALL * *sum)));
        }
      }
    } else {
      medium += *scale * (*scale * *sum);
    }
  }
  int there = medium > 0 || medium != medium;
  if (big > 0) {
    if (there) big += (medium * SCALE_BIG) * SCALE_BIG;
    *scale = 1 / SCALE_BIG, *sum = big;
  } else if (small > 0) {
    if (there) {
      medium = ROOT(medium);
      small = ROOT(small) / SCALE_SMALL;
      REAL least = small > medium ? medium : small, most = small > medium ? small : medium;
      *scale = 1, *sum = most * most * (1 + (least / most) * (least / most));
    } else {
      *scale = 1 / SCALE_SMALL, *sum = small;
    }
  } else {
    *scale = 1, *sum = medium;
  }
}

void NAMED(lassq)(int *n, REAL *x, int *step, REAL *scale, REAL *sum) { NAMED(sum)(*n, 1, x, *step, scale, sum); }
void NAMED_COMPLEX(lassq)(int *n, REAL *x, int *step, REAL *scale, REAL *sum) { NAMED(sum)(*n, 2, x, *step, scale, sum); }

// What is made of MAXLOC: the place of the largest number, which a number that is none never is.
int INDEX(mxl)(int *n, REAL *x) {
  int place = 0;
  for (int i = 1; i < *n; i++)
    if (x[i] > x[place] || x[place] != x[place]) place = i;
  return place + 1;
}

#undef SAFE_MINIMUM
#undef SAFE_MAXIMUM
#undef ABSOLUTE
#undef ROOT
#undef CLAMPED
#undef TOO_SMALL
#undef TOO_BIG
#undef SCALE_SMALL
#undef SCALE_BIG
