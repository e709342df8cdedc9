// CPython's threads take turns: what the evaluation loop calls.
#include "coop.h"

#include <Python.h>
#include <internal/pycore_ceval.h>
#include <internal/pycore_gil.h>
#include <internal/pycore_pystate.h>

// The evaluation loop counts this down and calls the tick at zero: looking at the clock each time round
// would cost more than the loop itself.
enum { EVALUATIONS_PER_TICK = 1000 };
int _pywasm_clock = EVALUATIONS_PER_TICK;

// sys.getswitchinterval()'s default: a thread blocked outside the GIL waits no longer than one for the GIL.
static const uint64_t SLICE = 5000000;

void _pywasm_tick(void) {
  _pywasm_clock = EVALUATIONS_PER_TICK;
  if (!coop_tick(SLICE)) return;
  // Whom that gave a turn may wait for the GIL by now, and would ask for it after another slice: it is asked for at once.
  PyThreadState *self = _PyThreadState_GET();
  if (coop_cond_is_waited_for(&self->interp->ceval.gil->cond)) _Py_set_eval_breaker_bit(self, _PY_GIL_DROP_REQUEST_BIT);
}
