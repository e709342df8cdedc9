// Between the files of this folder.
#pragma once

#include <Python.h>

// The module `_pywasm_process` (process.c).
PyMODINIT_FUNC pywasm_init_process(void);

// Makes immortal what a snapshot holds and a program only uses (immortal.c).
void pywasm_make_immortal(void);
