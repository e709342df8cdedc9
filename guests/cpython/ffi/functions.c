// Dynamic linking as programs see it: there are no libraries to load, and of this program the functions listed here can be
// found. Any function could be, but each that is listed stays in the link, whoever calls it.
#include <Python.h>
#include <frameobject.h>

#include <dlfcn.h>
#include <ifaddrs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "functions.h"

#define NAMED(name, result) {#name, (void (*)(void))(uintptr_t)name, result}

static const struct named_function functions[] = {
    // What programs use of Python by ctypes.pythonapi.
    NAMED(PyThreadState_SetAsyncExc, KIND_I32),
    NAMED(PyThreadState_Get, KIND_I32),
    NAMED(PyGILState_Ensure, KIND_I32),
    NAMED(PyGILState_Release, KIND_NONE),
    NAMED(PyGILState_Check, KIND_I32),
    NAMED(Py_IsInitialized, KIND_I32),
    NAMED(Py_GetVersion, KIND_I32),
    NAMED(Py_IncRef, KIND_NONE),
    NAMED(Py_DecRef, KIND_NONE),
    NAMED(PyErr_SetString, KIND_NONE),
    NAMED(PyErr_Occurred, KIND_I32),
    NAMED(PyErr_Clear, KIND_NONE),
    NAMED(PyRun_SimpleString, KIND_I32),
    NAMED(PyFrame_LocalsToFast, KIND_NONE),
    NAMED(PyFrame_GetLocals, KIND_I32),
    NAMED(PyEval_GetFrameLocals, KIND_I32),
    NAMED(PyEval_GetFrameGlobals, KIND_I32),
    NAMED(PyEval_GetFrameBuiltins, KIND_I32),
    NAMED(PyUnstable_Eval_RequestCodeExtraIndex, KIND_I32),
    NAMED(PyUnstable_Code_GetExtra, KIND_I32),
    NAMED(PyUnstable_Code_SetExtra, KIND_I32),
    NAMED(PyObject_Repr, KIND_I32),
    NAMED(PyObject_Str, KIND_I32),
    NAMED(PyObject_GetAttrString, KIND_I32),
    NAMED(PyObject_SetAttrString, KIND_I32),
    NAMED(PyObject_CallNoArgs, KIND_I32),
    NAMED(PyObject_CallObject, KIND_I32),
    NAMED(PyObject_CheckBuffer, KIND_I32),
    NAMED(PyObject_GetBuffer, KIND_I32),
    NAMED(PyBuffer_Release, KIND_NONE),
    NAMED(PyMemoryView_FromMemory, KIND_I32),
    NAMED(PyMemoryView_FromObject, KIND_I32),
    NAMED(PyCapsule_New, KIND_I32),
    NAMED(PyCapsule_GetName, KIND_I32),
    NAMED(PyCapsule_GetPointer, KIND_I32),
    NAMED(PyCapsule_IsValid, KIND_I32),
    NAMED(PyCapsule_GetDestructor, KIND_I32),
    NAMED(PyCapsule_GetContext, KIND_I32),
    NAMED(PyCapsule_SetName, KIND_I32),
    NAMED(PyCapsule_SetPointer, KIND_I32),
    NAMED(PyCapsule_SetContext, KIND_I32),
    NAMED(PyCapsule_SetDestructor, KIND_I32),
    NAMED(PyCapsule_Import, KIND_I32),
    NAMED(PyBytes_FromString, KIND_I32),
    NAMED(PyBytes_FromStringAndSize, KIND_I32),
    NAMED(PyOS_snprintf, KIND_I32),
    NAMED(PyOS_getsig, KIND_I32),
    NAMED(PyOS_setsig, KIND_I32),
    NAMED(PyBytes_AsString, KIND_I32),
    NAMED(PyBytes_Size, KIND_I32),
    NAMED(PyByteArray_AsString, KIND_I32),
    NAMED(PyUnicode_FromString, KIND_I32),
    NAMED(PyUnicode_FromStringAndSize, KIND_I32),
    NAMED(PyUnicode_AsUTF8, KIND_I32),
    NAMED(PyLong_FromVoidPtr, KIND_I32),
    NAMED(PyLong_AsVoidPtr, KIND_I32),
    NAMED(PyLong_FromLong, KIND_I32),
    NAMED(PyLong_AsLong, KIND_I32),
    NAMED(PyLong_FromLongLong, KIND_I32),
    NAMED(PyLong_AsLongLong, KIND_I64),
    NAMED(PyFloat_FromDouble, KIND_I32),
    NAMED(PyFloat_AsDouble, KIND_F64),
    NAMED(PyCell_New, KIND_I32),
    NAMED(PyCell_Set, KIND_I32),
    NAMED(PyDictProxy_New, KIND_I32),
    NAMED(PyDict_SetItem, KIND_I32),
    NAMED(PyList_New, KIND_I32),
    NAMED(PyTuple_New, KIND_I32),
    NAMED(PyTuple_SetItem, KIND_I32),
    NAMED(PyMethod_New, KIND_I32),
    NAMED(PyInstanceMethod_New, KIND_I32),
    NAMED(PyType_Modified, KIND_NONE),
    // And of libc by ctypes.CDLL(None).
    NAMED(malloc, KIND_I32),
    NAMED(calloc, KIND_I32),
    NAMED(realloc, KIND_I32),
    NAMED(free, KIND_NONE),
    NAMED(memcpy, KIND_I32),
    NAMED(memmove, KIND_I32),
    NAMED(memset, KIND_I32),
    NAMED(memcmp, KIND_I32),
    NAMED(memchr, KIND_I32),
    NAMED(strlen, KIND_I32),
    NAMED(strcmp, KIND_I32),
    NAMED(strncmp, KIND_I32),
    NAMED(strchr, KIND_I32),
    NAMED(strerror, KIND_I32),
    NAMED(getenv, KIND_I32),
    NAMED(atoi, KIND_I32),
    NAMED(abs, KIND_I32),
    NAMED(getpid, KIND_I32),
    NAMED(usleep, KIND_I32),
    NAMED(getifaddrs, KIND_I32),
    NAMED(freeifaddrs, KIND_NONE),
};
static const size_t function_count = sizeof functions / sizeof *functions;

const struct named_function *function_at(void (*address)(void)) {
  for (size_t i = 0; i < function_count; i++)
    if (functions[i].address == address) return &functions[i];
  return NULL;
}

static char program;
static char message[256];
static bool failed;

void *dlopen(const char *file, int mode) {
  (void)mode;
  if (!file) return &program;
  snprintf(message, sizeof message, "%s: native libraries cannot be loaded in the sandbox: they are code for a machine", file);
  failed = true;
  return NULL;
}

void *dlsym(void *restrict handle, const char *restrict name) {
  (void)handle;
  for (size_t i = 0; i < function_count; i++)
    if (!strcmp(functions[i].name, name)) return (void *)(uintptr_t)functions[i].address;
  snprintf(message, sizeof message, "%s: not among the C functions that can be called by name in the sandbox", name);
  failed = true;
  return NULL;
}

int dlclose(void *handle) {
  (void)handle;
  return 0;
}

char *dlerror(void) {
  bool told = !failed;
  failed = false;
  return told ? NULL : message;
}
