// What the scheduler needs to know of CPython.
#include "coop.h"

// CPython's live thread-locals in this build: the current thread state and the name of the package whose
// extension module is being imported.
extern uint32_t _Py_tss_tstate, pkgcontext;
uint32_t *const coop_tls_words[COOP_TLS_WORDS_MAX + 1] = {&_Py_tss_tstate, &pkgcontext};
