// Between the files of this folder.
#pragma once

#include <Python.h>

// The module `_pywasm_process` (process.c).
PyMODINIT_FUNC pywasm_init_process(void);
