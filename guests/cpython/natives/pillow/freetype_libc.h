// The C library as FreeType uses it.
//
// FreeType jumps out of the check of a font's table of characters when that is broken. WebAssembly has no jumps without exceptions, so
// the check runs in a thread of its own, which ends there. FreeType takes the jump's place for another try, and has an answer then.
#pragma once
#include <pthread.h>
#include <stddef.h>

// That of the C library ends the compilation.
#define _SETJMP_H
typedef int jmp_buf;
#include <freetype/config/ftstdlib.h>

struct freetype_check {
  int (*check)(void *table, void *validator);
  void *table, *validator;
  int result;
};

static inline void *freetype_run(void *argument) {
  struct freetype_check *call = argument;
  call->result = call->check(call->table, call->validator);
  return NULL;
}

static inline int freetype_checked(int (*check)(void *, void *), void *table, void *validator) {
  struct freetype_check call = {check, table, validator, 0};
  pthread_t thread;
  if (pthread_create(&thread, NULL, freetype_run, &call)) return check(table, validator);
  pthread_join(thread, NULL);
  return call.result;
}

// The guest has it, though its libc does not declare it.
_Noreturn void pthread_exit(void *value);

#undef ft_longjmp
#define ft_longjmp(buffer, value) pthread_exit(NULL)
// Where it is called (sfnt/ttcmap.c), the check follows if this is 0.
#undef ft_setjmp
#define ft_setjmp(buffer) \
  (error = freetype_checked((int (*)(void *, void *))(void *)clazz->validate, cmap, (void *)&valid), 1)
