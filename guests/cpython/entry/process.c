// The module `_pywasm_process`: starting further processes, for the modules of the standard library that expect fork and
// exec (../lib/_posixsubprocess.py).
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <linux_errno.h>
#include <stdlib.h>
#include <string.h>

#include "../libc/process.h"
#include "entry.h"

// A tuple of bytes objects as a list of C's that ends with null; it borrows from them.
static const char **strings_of(PyObject *tuple) {
  Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  const char **list = PyMem_Calloc(count + 1, sizeof *list);
  if (!list) return (const char **)PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < count; i++) {
    char *text;
    if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(tuple, i), &text, NULL) < 0) {  // refuses null characters
      PyMem_Free(list);
      return NULL;
    }
    list[i] = text;
  }
  return list;
}

static int (*descriptors_of(PyObject *tuple))[2] {
  Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  int(*list)[2] = PyMem_Calloc(count + 1, sizeof *list);
  if (!list) PyErr_NoMemory();
  for (Py_ssize_t i = 0; list && i < count; i++)
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(tuple, i), "ii", &list[i][0], &list[i][1])) {
      PyMem_Free(list);
      return NULL;
    }
  return list;
}

static PyObject *refused(int error, char *reason) {
  PyObject *message = PyUnicode_FromString(reason ? reason : strerror(error));
  free(reason);
  if (!message) return NULL;
  PyObject *exception = PyObject_CallFunction(PyExc_OSError, "iN", _Py_LinuxErrno(error), message);
  if (exception) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  Py_XDECREF(exception);
  return NULL;
}

PyDoc_STRVAR(spawn_doc, "spawn(arguments, environment, folder, descriptors, /)\n--\n\nStart a process; return its number.");

static PyObject *spawn(PyObject *module, PyObject *args) {
  (void)module;
  PyObject *arguments, *environment, *descriptors;
  const char *folder;
  if (!PyArg_ParseTuple(args, "O!O!yO!:spawn", &PyTuple_Type, &arguments, &PyTuple_Type, &environment, &folder, &PyTuple_Type,
                        &descriptors))
    return NULL;
  const char **words = strings_of(arguments), **variables = words ? strings_of(environment) : NULL;
  int(*passed)[2] = variables ? descriptors_of(descriptors) : NULL;
  int process = -1, error = 0;
  char *reason = NULL;
  if (passed) {
    const struct pywasm_spawn request = {words, variables, folder, passed, PyTuple_GET_SIZE(descriptors)};
    process = pywasm_spawn(&request, &reason);
    error = errno;
  }
  PyMem_Free(words);
  PyMem_Free(variables);
  PyMem_Free(passed);
  if (process >= 0) return PyLong_FromLong(process);
  return passed ? refused(error, reason) : NULL;
}

static PyMethodDef functions[] = {{"spawn", spawn, METH_VARARGS, spawn_doc}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{Py_mod_gil, Py_MOD_GIL_USED}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_pywasm_process", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC pywasm_init_process(void) { return PyModuleDef_Init(&definition); }
