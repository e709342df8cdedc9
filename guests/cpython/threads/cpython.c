// What CPython needs to know of the scheduler, and the scheduler of CPython.
#include "coop.h"

// CPython's live thread-locals in this build: the current thread state and the name of the package whose
// extension module is being imported.
extern uint32_t _Py_tss_tstate, pkgcontext;
uint32_t *const coop_tls_words[COOP_TLS_WORDS_MAX + 1] = {&_Py_tss_tstate, &pkgcontext};

// The evaluation loop counts this down and calls the tick at zero: looking at the clock each time round
// would cost more than the loop itself.
enum { EVALUATIONS_PER_TICK = 1000 };
int _pywasm_clock = EVALUATIONS_PER_TICK;

// sys.getswitchinterval()'s default: a thread blocked outside the GIL waits no longer than one for the GIL.
static const uint64_t SLICE = 5000000;

void _pywasm_tick(void) {
  _pywasm_clock = EVALUATIONS_PER_TICK;
  coop_tick(SLICE);
}
