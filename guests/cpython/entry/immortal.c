// Makes immortal what a snapshot holds and a program only uses: code, functions, types, modules, constants. Python counts no
// references to what never dies, so that using it does not write to its pages, which all instances share until they do.
//
// Only what nobody sees die is made so: no instance of a class, no list, no dictionary but those of modules, types and functions;
// and of what keeps others alive, only what keeps none but such.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <internal/pycore_object.h>
#include <internal/pycore_typeobject.h>
#include <internal/pycore_unicodeobject.h>
#include <stdbool.h>

#include "entry.h"

static int settle(PyObject *object, void *mortal);

static bool is_one_of(PyObject *object, PyTypeObject *const *types) {
  while (*types && *types != Py_TYPE(object)) types++;
  return *types;
}

static bool is_value(PyObject *object) {
  static PyTypeObject *const types[] = {&PyBytes_Type, &PyLong_Type, &PyFloat_Type, &PyComplex_Type, NULL};
  return is_one_of(object, types);
}

// Immortal if all that it keeps alive is.
static bool is_holder(PyObject *object) {
  static PyTypeObject *const types[] = {
      &PyTuple_Type, &PyFrozenSet_Type, &PyFunction_Type, &PyCFunction_Type, &PyMethodDescr_Type, &PyClassMethodDescr_Type,
      &PyWrapperDescr_Type, &PyGetSetDescr_Type, &PyMemberDescr_Type, &PyProperty_Type, &PyStaticMethod_Type, &PyClassMethod_Type,
      &PyCell_Type, NULL,
  };
  return is_one_of(object, types);
}

static bool holds_mortals(PyObject *object) {
  bool mortal = false;
  Py_TYPE(object)->tp_traverse(object, settle, &mortal);
  return mortal;
}

static void settle_if_there(PyObject *object) {
  bool mortal;
  if (object) settle(object, &mortal);
}

// The garbage collector knows nothing of it.
static void settle_code(PyCodeObject *code) {
  PyObject *parts[] = {code->co_consts, code->co_names, code->co_exceptiontable, code->co_localsplusnames, code->co_localspluskinds,
                       code->co_filename, code->co_name, code->co_qualname, code->co_linetable};
  for (size_t i = 0; i < Py_ARRAY_LENGTH(parts); i++) settle_if_there(parts[i]);
}

// What a function may be given, and which nobody else has.
static void settle_dictionary(PyObject *dictionary) {
  if (dictionary && PyDict_CheckExact(dictionary) && !holds_mortals(dictionary)) _Py_SetImmortalUntracked(dictionary);
}

// Makes `object` immortal if it can be, and otherwise notes in `mortal` that one is not.
static int settle(PyObject *object, void *mortal) {
  if (_Py_IsImmortal(object)) return 0;
  if (PyUnicode_CheckExact(object)) {
    if (PyUnicode_CHECK_INTERNED(object)) _PyUnicode_InternImmortal(PyInterpreterState_Get(), &object);
    else _Py_SetImmortalUntracked(object);
  } else if (is_value(object)) {
    _Py_SetImmortalUntracked(object);
  } else if (PyCode_Check(object)) {
    _Py_SetImmortalUntracked(object);
    settle_code((PyCodeObject *)object);
  } else if (PyTuple_CheckExact(object) && !PyObject_GC_IsTracked(object) && !holds_mortals(object)) {
    _Py_SetImmortalUntracked(object);  // those with constants alone, which the visit of all objects leaves out
  }
  if (!_Py_IsImmortal(object)) *(bool *)mortal = true;
  return 0;
}

// Types and modules stay with all that is in them; what is replaced there dies as ever.
static int settle_roots(PyObject *object, void *unused) {
  (void)unused;
  if (PyType_Check(object)) {
    _Py_SetImmortalUntracked(object);
    _Py_SetImmortalUntracked(_PyType_GetDict((PyTypeObject *)object));
  } else if (PyModule_Check(object)) {
    _Py_SetImmortalUntracked(PyModule_GetDict(object));
    if (PyModule_CheckExact(object)) _Py_SetImmortalUntracked(object);
  }
  return 1;
}

static int settle_holders(PyObject *object, void *changed) {
  if (PyFunction_Check(object)) {
    PyFunctionObject *function = (PyFunctionObject *)object;
    settle_dictionary(function->func_kwdefaults);
    settle_dictionary(function->func_annotations);
    settle_dictionary(function->func_dict);
  }
  // Also for what it refers to, whatever it is itself.
  if (!holds_mortals(object) && !_Py_IsImmortal(object) && is_holder(object)) {
    _Py_SetImmortalUntracked(object);
    *(bool *)changed = true;
  }
  return 1;
}

void pywasm_make_immortal(void) {
  PyUnstable_GC_VisitObjects(settle_roots, NULL);
  // One may be visited before what it holds.
  bool changed;
  do {
    changed = false;
    PyUnstable_GC_VisitObjects(settle_holders, &changed);
  } while (changed);
}
