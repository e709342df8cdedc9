// C++ exceptions end the guest: its modules are compiled so that nothing catches them, since the host does not unwind.
// What was thrown is told first. The rest is what the compiler calls around a throw and a catch.
#include <stdio.h>
#include <stdlib.h>

// As the C++ ABI lays out std::type_info.
struct type_info {
  const void *vtable;
  const char *name;
};

char *__cxa_demangle(const char *name, char *buffer, size_t *size, int *status);

void *__cxa_allocate_exception(size_t size) {
  void *exception = malloc(size ? size : 1);
  if (!exception) abort();
  return exception;
}

void __cxa_free_exception(void *exception) { free(exception); }

_Noreturn void __cxa_throw(void *exception, struct type_info *type, void (*destructor)(void *)) {
  (void)exception, (void)destructor;
  char *name = __cxa_demangle(type->name, NULL, NULL, NULL);
  fprintf(stderr, "Fatal error: a native module threw the C++ exception %s, which nothing can catch in this guest\n", name ? name : type->name);
  abort();
}

_Noreturn void __cxa_rethrow(void) { abort(); }
void *__cxa_begin_catch(void *exception) { return exception; }
void __cxa_end_catch(void) {}
