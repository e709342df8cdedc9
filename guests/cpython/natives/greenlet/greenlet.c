// The extension module of the package greenlet, for this guest. The package's own one moves pieces of the machine's stack
// away and back, which WebAssembly has none of for programs to touch; here each greenlet has a fiber of its own (threads/fiber.h).
// What Python sees is the package's: its documentation says what each function does, its tests hold it.
//
// All greenlets of a thread share its thread state. What that keeps of one stack of calls is exchanged at each switch.
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <internal/pycore_ceval.h>
#include <internal/pycore_frame.h>
#include <internal/pycore_interpframe.h>
#include <internal/pycore_obmalloc.h>
#include <internal/pycore_tstate.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "fiber.h"

typedef struct Greenlet Greenlet;

// What a thread state keeps of one stack of calls.
typedef struct {
  _PyInterpreterFrame *frame;
  PyObject *context, *delete_later;  // owned
  _PyErr_StackItem bottom, *exc_info;
  int depth;
  _PyStackChunk *chunk;
  PyObject **top, **limit;
  uintptr_t c_top, c_soft_limit, c_hard_limit;
} Calls;

// What a switch brings with it: arguments or an exception. Owned; all null in between.
typedef struct {
  PyObject *args, *kwargs, *exception;
} Cargo;

// The greenlets of a thread. Owned by the dictionary of its thread state, and so gone with that.
typedef struct {
  Greenlet *main, *current;  // owned
  PyObject *tracer;          // owned, or null
  PyObject *doomed;          // a list of those that another thread let go of, or null
  Cargo cargo;
  Greenlet *origin;  // owned: who has just left
} Thread;

enum stage { PENDING, ACTIVE, DEAD };

struct Greenlet {
  PyObject_HEAD
  PyObject *dict, *weakrefs;
  enum stage stage;
  Greenlet *parent;  // owned; null for the main greenlet of a thread
  PyObject *run;     // owned; null once it runs
  Greenlet *main;    // owned: that of the thread it was started in. A main one's is itself, not owned
  Thread *thread;    // of a main one: its thread, null when that has ended
  struct coop_fiber *fiber;  // where it can be gone on with, while it is active
  Calls calls;
};

static PyTypeObject Greenlet_Type;
static PyObject *Exit, *Error;
static pthread_key_t threads;
static Py_ssize_t active;  // those with a fiber of their own
static Py_ssize_t mains;

#define AS_GREENLET(object) ((Greenlet *)(object))
#define IS_GREENLET(object) PyObject_TypeCheck(object, &Greenlet_Type)
#define IS_MAIN(greenlet) ((greenlet)->main == (greenlet))

// ---- The thread state's part

// Takes what belongs to one stack of calls out of the thread state.
static void take_calls(Calls *calls, PyThreadState *state) {
  _PyThreadStateImpl *more = (_PyThreadStateImpl *)state;
  *calls = (Calls){
      .frame = state->current_frame,
      .context = state->context,
      .delete_later = state->delete_later,
      .bottom = state->exc_state,
      .exc_info = state->exc_info,
      .depth = state->py_recursion_limit - state->py_recursion_remaining,
      .chunk = state->datastack_chunk,
      .top = state->datastack_top,
      .limit = state->datastack_limit,
      .c_top = more->c_stack_top,
      .c_soft_limit = more->c_stack_soft_limit,
      .c_hard_limit = more->c_stack_hard_limit,
  };
  state->context = state->delete_later = NULL;
}

static void set_context(PyThreadState *state, PyObject *context) {
  state->context = context;
  state->context_ver++;  // contextvars keeps values for as long as this stays
}

static void put_calls(Calls *calls, PyThreadState *state) {
  _PyThreadStateImpl *more = (_PyThreadStateImpl *)state;
  state->current_frame = calls->frame;
  set_context(state, calls->context);
  state->delete_later = calls->delete_later;
  state->exc_state = calls->bottom;
  state->exc_info = calls->exc_info;
  state->py_recursion_remaining = state->py_recursion_limit - calls->depth;
  state->datastack_chunk = calls->chunk;
  state->datastack_top = calls->top;
  state->datastack_limit = calls->limit;
  more->c_stack_top = calls->c_top;
  more->c_stack_soft_limit = calls->c_soft_limit;
  more->c_stack_hard_limit = calls->c_hard_limit;
  *calls = (Calls){0};
}

// An empty stack of calls, on the fiber that this runs on. How deep Python is counts on from who started it.
static void begin_calls(PyThreadState *state, PyObject *context) {
  state->current_frame = NULL;
  set_context(state, context);
  state->delete_later = NULL;
  state->exc_state = (_PyErr_StackItem){0};
  state->exc_info = &state->exc_state;
  state->datastack_chunk = NULL;
  state->datastack_top = state->datastack_limit = NULL;
  _Py_InitializeRecursionLimits(state);
}

// The context stays with the greenlet.
static void end_calls(Calls *calls, PyThreadState *state) {
  if (state->delete_later) _PyTrash_thread_destroy_chain(state);
  for (_PyStackChunk *chunk = state->datastack_chunk, *previous; chunk; chunk = previous) {
    previous = chunk->previous;
    _PyObject_VirtualFree(chunk, chunk->size);
  }
  state->datastack_chunk = NULL;
  calls->context = state->context;
  state->context = NULL;
}

// ---- Threads

static void clear_cargo(Cargo *cargo) {
  Py_CLEAR(cargo->args);
  Py_CLEAR(cargo->kwargs);
  Py_CLEAR(cargo->exception);
}

static void end_thread(PyObject *capsule) {
  Thread *thread = PyCapsule_GetPointer(capsule, NULL);
  if (pthread_getspecific(threads) == thread) pthread_setspecific(threads, NULL);
  thread->main->thread = NULL;
  thread->main->stage = DEAD;
  Py_CLEAR(thread->current);
  Py_CLEAR(thread->main);
  Py_CLEAR(thread->tracer);
  Py_CLEAR(thread->doomed);
  Py_CLEAR(thread->origin);
  clear_cargo(&thread->cargo);
  PyMem_Free(thread);
}

static Thread *new_thread(void) {
  PyObject *dict = PyThreadState_GetDict();
  Thread *thread = dict ? PyMem_Calloc(1, sizeof *thread) : NULL;
  Greenlet *main = thread ? AS_GREENLET(Greenlet_Type.tp_alloc(&Greenlet_Type, 0)) : NULL;
  if (!main) {
    PyMem_Free(thread);
    return PyErr_Occurred() ? NULL : (PyErr_NoMemory(), NULL);
  }
  mains++;
  main->stage = ACTIVE;
  main->main = main;
  main->thread = thread;
  main->fiber = coop_fiber_current();
  thread->main = main;
  thread->current = AS_GREENLET(Py_NewRef(main));
  PyObject *capsule = PyCapsule_New(thread, NULL, end_thread);
  if (!capsule) {
    main->thread = NULL;
    Py_DECREF(main);
    Py_DECREF(main);
    PyMem_Free(thread);
    return NULL;
  }
  pthread_setspecific(threads, thread);
  int failed = PyDict_SetItemString(dict, "greenlet", capsule);
  Py_DECREF(capsule);  // on failure that was the thread's end
  return failed ? NULL : thread;
}

// The running thread's greenlets; null with an exception.
static Thread *this_thread(void) {
  Thread *thread = pthread_getspecific(threads);
  return thread ? thread : new_thread();
}

// The main greenlet of the thread that a greenlet runs in, or would; borrowed. Null if that is gone.
static Greenlet *main_of(Greenlet *greenlet) {
  while (greenlet && greenlet->stage != ACTIVE && greenlet->parent) greenlet = greenlet->parent;
  return greenlet ? greenlet->main : NULL;
}

static bool is_of(Greenlet *greenlet, Thread *thread) {
  Greenlet *main = main_of(greenlet);
  if (main == thread->main) return true;
  if (!main || !main->thread)
    PyErr_SetString(Error, "cannot switch to a different thread (which happens to have exited)");
  else
    PyErr_Format(Error, "Cannot switch to a different thread\n\tCurrent:  %R\n\tExpected: %R", thread->main, main);
  return false;
}

// ---- Switching

static bool trace(Thread *thread, const char *event, Greenlet *origin) {
  PyObject *tracer = Py_NewRef(thread->tracer);
  PyObject *told = PyObject_CallFunction(tracer, "s(OO)", event, origin, thread->current);
  Py_DECREF(tracer);
  if (!told) Py_CLEAR(thread->tracer);  // a tracer that fails is asked no more
  Py_XDECREF(told);
  return told;
}

static void kill_doomed(Thread *thread);

// What has been brought along, where a greenlet begins or goes on.
static Cargo unload(Thread *thread) {
  Cargo cargo = thread->cargo;
  thread->cargo = (Cargo){0};
  Greenlet *origin = thread->origin;
  thread->origin = NULL;
  if (thread->tracer && origin) {
    PyObject *exception = PyErr_GetRaisedException();
    if (!trace(thread, cargo.exception ? "throw" : "switch", origin)) {
      clear_cargo(&cargo);
      cargo.exception = PyErr_GetRaisedException();
    }
    PyErr_SetRaisedException(exception);
  }
  Py_XDECREF(origin);
  if (thread->doomed) kill_doomed(thread);
  return cargo;
}

// What switch() returns of it.
static PyObject *delivered(Cargo cargo) {
  if (cargo.exception) {
    PyErr_SetRaisedException(cargo.exception);
    return NULL;
  }
  bool named = cargo.kwargs && PyDict_GET_SIZE(cargo.kwargs);
  PyObject *result;
  if (!named && PyTuple_GET_SIZE(cargo.args) == 1)
    result = Py_NewRef(PyTuple_GET_ITEM(cargo.args, 0));
  else if (!named)
    result = Py_NewRef(cargo.args);
  else if (!PyTuple_GET_SIZE(cargo.args))
    result = Py_NewRef(cargo.kwargs);
  else
    result = PyTuple_Pack(2, cargo.args, cargo.kwargs);
  clear_cargo(&cargo);
  return result;
}

// GreenletExit ends a greenlet, and is then its result.
static void exit_as_result(Cargo *cargo) {
  if (!cargo->exception || !PyErr_GivenExceptionMatches(cargo->exception, Exit)) return;
  cargo->args = PyTuple_Pack(1, cargo->exception);
  if (cargo->args)
    Py_CLEAR(cargo->exception);
  else
    Py_XSETREF(cargo->exception, PyErr_GetRaisedException());
}

static struct coop_fiber *live(void *greenlet);

// Readies one that has not begun: `run` to call, and a fiber. It may have begun meanwhile, as looking for `run` may run anything.
static bool ready(Greenlet *greenlet) {
  PyObject *run = PyObject_GetAttrString((PyObject *)greenlet, "run");
  if (!run) return false;
  if (greenlet->stage != PENDING) {
    Py_DECREF(run);
    return true;
  }
  greenlet->fiber = coop_fiber_new(live, greenlet);
  if (!greenlet->fiber) {
    Py_DECREF(run);
    PyErr_SetString(Error, "can't start new greenlet: as many threads and greenlets as there may be, or no memory for one");
    return false;
  }
  PyObject *previous = greenlet->run;
  greenlet->run = run;
  greenlet->main = AS_GREENLET(Py_NewRef(main_of(greenlet)));
  greenlet->stage = ACTIVE;
  active++;
  Py_XDECREF(previous);
  return true;
}

// Who is to go on if `wanted` is switched to: itself, or the first of its ancestors that can. Null with an exception.
static Greenlet *receiver(Thread *thread, Greenlet *wanted, Cargo *cargo) {
  for (; wanted; wanted = wanted->parent) {
    if (wanted->stage == PENDING && cargo->exception) {
      // It dies of it at once.
      wanted->stage = DEAD;
      Py_CLEAR(wanted->run);
      exit_as_result(cargo);
    }
    if (wanted->stage == PENDING && !ready(wanted)) return NULL;
    if (wanted->stage == ACTIVE) return is_of(wanted, thread) ? wanted : NULL;
  }
  PyErr_SetString(Error, "cannot switch to a garbage collected greenlet");
  return NULL;
}

// Switches to `wanted` with `cargo`, and gives what is brought back.
static PyObject *go_to(Thread *thread, Greenlet *wanted, Cargo cargo) {
  Greenlet *target = is_of(wanted, thread) ? receiver(thread, wanted, &cargo) : NULL;
  if (!target) {
    clear_cargo(&cargo);
    return NULL;
  }
  Greenlet *self = thread->current;
  thread->cargo = cargo;
  thread->origin = self;  // and the reference with it
  thread->current = AS_GREENLET(Py_NewRef(target));
  if (target != self) {
    PyThreadState *state = PyThreadState_Get();
    take_calls(&self->calls, state);
    self->fiber = coop_fiber_current();
    coop_fiber_switch(target->fiber);
    put_calls(&self->calls, state);
  }
  return delivered(unload(thread));
}

// The life of a greenlet, on its own fiber. Gives the fiber to go on with.
static struct coop_fiber *live(void *argument) {
  Greenlet *self = argument;
  PyThreadState *state = PyThreadState_Get();
  PyObject *context = self->calls.context;
  self->calls.context = NULL;
  begin_calls(state, context);
  Thread *thread = self->main->thread;
  Cargo cargo = unload(thread);
  PyObject *run = self->run;
  self->run = NULL;
  PyObject *result = NULL;
  if (cargo.exception)
    PyErr_SetRaisedException(cargo.exception);
  else
    result = PyObject_Call(run, cargo.args, cargo.kwargs);
  cargo.exception = NULL;
  clear_cargo(&cargo);
  Py_DECREF(run);

  // It is over: its result, or what it died of, is for its parent.
  cargo.args = result ? PyTuple_Pack(1, result) : NULL;
  Py_XDECREF(result);
  if (!cargo.args) cargo.exception = PyErr_GetRaisedException();
  exit_as_result(&cargo);
  self->stage = DEAD;
  active--;
  Greenlet *target, *parent = self->parent;
  while (!(target = receiver(thread, parent, &cargo))) {
    // That one cannot be gone on with: the reason is for the next.
    clear_cargo(&cargo);
    cargo.exception = PyErr_GetRaisedException();
    if (!parent->parent) Py_FatalError("greenlet: no parent is left to tell of an exception");
    parent = parent->parent;
  }
  end_calls(&self->calls, state);
  self->fiber = NULL;
  thread->cargo = cargo;
  thread->origin = self;
  thread->current = AS_GREENLET(Py_NewRef(target));
  return target->fiber;
}

static PyObject *raise_in(Thread *thread, Greenlet *greenlet, PyObject *exception) {
  Cargo cargo = {.exception = exception};
  if (greenlet->stage == DEAD) exit_as_result(&cargo);
  return go_to(thread, greenlet, cargo);
}

// Ends one that nobody refers to any more, as a child of whoever let go of it.
static void kill(Thread *thread, Greenlet *greenlet) {
  PyObject *raised = PyErr_GetRaisedException();
  Greenlet *parent = greenlet->parent;
  greenlet->parent = AS_GREENLET(Py_NewRef(thread->current));
  PyObject *exception = PyObject_CallFunction(Exit, "s", "Killing the greenlet because all references have vanished.");
  PyObject *result = exception ? raise_in(thread, greenlet, exception) : NULL;
  if (!result) PyErr_WriteUnraisable((PyObject *)greenlet);
  Py_XDECREF(result);
  // It may have lived on.
  Py_SETREF(greenlet->parent, parent);
  PyErr_SetRaisedException(raised);
}

static void kill_doomed(Thread *thread) {
  PyObject *doomed = thread->doomed;
  thread->doomed = NULL;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(doomed); i++) {
    Greenlet *greenlet = AS_GREENLET(PyList_GET_ITEM(doomed, i));
    if (greenlet->stage == ACTIVE) kill(thread, greenlet);
  }
  Py_DECREF(doomed);
}

static void Greenlet_finalize(PyObject *object) {
  Greenlet *self = AS_GREENLET(object);
  if (self->stage != ACTIVE || IS_MAIN(self)) return;
  Thread *owner = self->main->thread;
  if (!owner) return;  // the thread it could run in has ended: what it holds stays
  PyObject *raised = PyErr_GetRaisedException();
  if (owner == pthread_getspecific(threads)) {
    kill(owner, self);
  } else {
    if (!owner->doomed) owner->doomed = PyList_New(0);
    if (!owner->doomed || PyList_Append(owner->doomed, object) != 0) PyErr_WriteUnraisable(object);
  }
  PyErr_SetRaisedException(raised);
}

// ---- The type

static PyObject *Greenlet_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  (void)args, (void)kwargs;
  Thread *thread = this_thread();
  if (!thread) return NULL;
  if (thread->doomed) kill_doomed(thread);
  // As object() does it, which refuses abstract classes.
  PyObject *nothing = PyTuple_New(0);
  Greenlet *self = nothing ? AS_GREENLET(PyBaseObject_Type.tp_new(type, nothing, NULL)) : NULL;
  Py_XDECREF(nothing);
  if (self) self->parent = AS_GREENLET(Py_NewRef(thread->current));
  return (PyObject *)self;
}

static int set_run(PyObject *object, PyObject *run, void *closure);
static int set_parent(PyObject *object, PyObject *parent, void *closure);

static int Greenlet_init(PyObject *self, PyObject *args, PyObject *kwargs) {
  static char *names[] = {"run", "parent", NULL};
  PyObject *run = NULL, *parent = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:greenlet", names, &run, &parent)) return -1;
  if (run && set_run(self, run, NULL) != 0) return -1;
  return parent && parent != Py_None ? set_parent(self, parent, NULL) : 0;
}

static int Greenlet_traverse(PyObject *object, visitproc visit, void *arg) {
  Greenlet *self = AS_GREENLET(object);
  Py_VISIT(self->parent);
  Py_VISIT(self->run);
  Py_VISIT(self->dict);
  Py_VISIT(self->calls.context);
  if (!IS_MAIN(self)) Py_VISIT(self->main);
  return 0;
}

static int Greenlet_clear(PyObject *object) {
  Greenlet *self = AS_GREENLET(object);
  // One that is active can still be gone on with, and needs all of it then.
  if (self->stage == ACTIVE) return 0;
  if (!IS_MAIN(self)) Py_CLEAR(self->main);
  Py_CLEAR(self->parent);
  Py_CLEAR(self->run);
  Py_CLEAR(self->dict);
  Py_CLEAR(self->calls.context);
  return 0;
}

static void Greenlet_dealloc(PyObject *object) {
  Greenlet *self = AS_GREENLET(object);
  if (PyObject_CallFinalizerFromDealloc(object) < 0) return;
  PyObject_GC_UnTrack(object);
  if (self->weakrefs) PyObject_ClearWeakRefs(object);
  if (self->stage == ACTIVE && !IS_MAIN(self)) active--;
  if (IS_MAIN(self)) mains--;
  self->stage = DEAD;
  Greenlet_clear(object);
  Py_TYPE(object)->tp_free(object);
}

static PyObject *Greenlet_repr(PyObject *object) {
  Greenlet *self = AS_GREENLET(object);
  Thread *thread = pthread_getspecific(threads);
  const char *name = Py_TYPE(object)->tp_name;
  void *main = main_of(self);
  bool exited = self->main && !self->main->thread;
  if (self->stage == DEAD)
    return PyUnicode_FromFormat("<%s object at %p (otid=%p)%s dead>", name, object, main, exited ? " (thread exited)" : "");
  bool current = thread && thread->current == self;
  const char *here = exited ? " (thread exited)" : current ? " current" : self->stage == ACTIVE ? " suspended" : "";
  const char *stage = self->stage == ACTIVE ? " active started" : " pending";
  return PyUnicode_FromFormat("<%s object at %p (otid=%p)%s%s%s>", name, object, main, here, stage, IS_MAIN(self) ? " main" : "");
}

static int Greenlet_bool(PyObject *self) { return AS_GREENLET(self)->stage == ACTIVE; }

PyDoc_STRVAR(switch_doc, "switch(*args, **kwargs)\n\nSwitch execution to this greenlet.");

static PyObject *Greenlet_switch(PyObject *self, PyObject *args, PyObject *kwargs) {
  Thread *thread = this_thread();
  if (!thread) return NULL;
  return go_to(thread, AS_GREENLET(self), (Cargo){.args = Py_NewRef(args), .kwargs = Py_XNewRef(kwargs)});
}

// The exception that throw()'s arguments make.
static PyObject *exception_of(PyObject *type, PyObject *value, PyObject *traceback) {
  if (traceback == Py_None) traceback = NULL;
  if (traceback && !PyTraceBack_Check(traceback)) {
    PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
    return NULL;
  }
  if (PyExceptionInstance_Check(type)) {
    if (value && value != Py_None) {
      PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
      return NULL;
    }
    Py_INCREF(type);
  } else if (PyExceptionClass_Check(type)) {
    PyErr_Restore(Py_NewRef(type), Py_XNewRef(value == Py_None ? NULL : value), NULL);
    type = PyErr_GetRaisedException();
  } else {
    PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s", Py_TYPE(type)->tp_name);
    return NULL;
  }
  if (traceback) PyException_SetTraceback(type, traceback);
  return type;
}

PyDoc_STRVAR(throw_doc, "throw(typ=GreenletExit, val=None, tb=None)\n\n"
                        "Switch execution to this greenlet, but raise the given exception there.");

static PyObject *Greenlet_throw(PyObject *self, PyObject *args) {
  PyObject *type = Exit, *value = NULL, *traceback = NULL;
  if (!PyArg_ParseTuple(args, "|OOO:throw", &type, &value, &traceback)) return NULL;
  Thread *thread = this_thread();
  PyObject *exception = thread ? exception_of(type, value, traceback) : NULL;
  if (!exception) return NULL;
  if (AS_GREENLET(self)->stage == PENDING) {
    // Into one that could not be started nothing is thrown.
    PyObject *run = PyObject_GetAttrString(self, "run");
    if (!run) {
      Py_DECREF(exception);
      return NULL;
    }
    Py_DECREF(run);
  }
  return raise_in(thread, AS_GREENLET(self), exception);
}

static PyObject *Greenlet_getstate(PyObject *self, PyObject *unused) {
  (void)unused;
  return PyErr_Format(PyExc_TypeError, "cannot serialize '%s' object", Py_TYPE(self)->tp_name);
}

static PyObject *get_run(PyObject *object, void *closure) {
  (void)closure;
  Greenlet *self = AS_GREENLET(object);
  if (IS_MAIN(self)) {
    PyErr_SetString(PyExc_AttributeError, "Main greenlets do not have a run attribute.");
    return NULL;
  }
  if (self->stage == PENDING && self->run) return Py_NewRef(self->run);
  PyErr_SetString(PyExc_AttributeError, "run");
  return NULL;
}

static int set_run(PyObject *object, PyObject *run, void *closure) {
  (void)closure;
  Greenlet *self = AS_GREENLET(object);
  if (IS_MAIN(self)) {
    PyErr_SetString(PyExc_AttributeError, "Main greenlets do not have a run attribute.");
    return -1;
  }
  if (self->stage != PENDING) {
    PyErr_SetString(PyExc_AttributeError, "run cannot be set after the start of the greenlet");
    return -1;
  }
  if (!run && !self->run) {
    PyErr_SetString(PyExc_AttributeError, "run");
    return -1;
  }
  Py_XSETREF(self->run, Py_XNewRef(run));
  return 0;
}

static PyObject *get_parent(PyObject *self, void *closure) {
  (void)closure;
  PyObject *parent = (PyObject *)AS_GREENLET(self)->parent;
  return Py_NewRef(parent ? parent : Py_None);
}

static int set_parent(PyObject *object, PyObject *parent, void *closure) {
  (void)closure;
  Greenlet *self = AS_GREENLET(object);
  if (!parent || IS_MAIN(self)) {
    PyErr_SetString(PyExc_AttributeError, parent ? "cannot set the parent of a main greenlet" : "can't delete attribute");
    return -1;
  }
  if (!IS_GREENLET(parent)) {
    PyErr_Format(PyExc_TypeError, "GreenletChecker: Expected any type of greenlet, not %s", Py_TYPE(parent)->tp_name);
    return -1;
  }
  for (Greenlet *ancestor = AS_GREENLET(parent); ancestor; ancestor = ancestor->parent)
    if (ancestor == self) {
      PyErr_SetString(PyExc_ValueError, "cyclic parent chain");
      return -1;
    }
  Greenlet *main = main_of(AS_GREENLET(parent));
  if (!main) {
    PyErr_SetString(PyExc_ValueError, "parent must not be garbage collected");
    return -1;
  }
  if (self->stage == ACTIVE && self->main != main) {
    PyErr_SetString(PyExc_ValueError, "parent cannot be on a different thread");
    return -1;
  }
  Py_XSETREF(self->parent, AS_GREENLET(Py_NewRef(parent)));
  return 0;
}

// Where a greenlet's context is: in the thread state while it runs. Null if it runs in another thread.
static PyObject **context_of(Greenlet *self) {
  Thread *owner = self->stage == ACTIVE ? self->main->thread : NULL;
  if (!owner || owner->current != self) return &self->calls.context;
  return owner == pthread_getspecific(threads) ? &PyThreadState_Get()->context : NULL;
}

static PyObject *get_context(PyObject *object, void *closure) {
  (void)closure;
  PyObject **context = context_of(AS_GREENLET(object));
  if (context) return Py_NewRef(*context ? *context : Py_None);
  PyErr_SetString(PyExc_ValueError, "cannot get context of a greenlet that is running in a different thread");
  return NULL;
}

static int put_context(PyObject *object, PyObject *context, void *closure) {
  (void)closure;
  if (!context) {
    PyErr_SetString(PyExc_AttributeError, "can't delete context attribute");
    return -1;
  }
  if (context != Py_None && !PyContext_CheckExact(context)) {
    PyErr_SetString(PyExc_TypeError, "greenlet context must be a contextvars.Context or None");
    return -1;
  }
  PyObject **place = context_of(AS_GREENLET(object));
  if (!place) {
    PyErr_SetString(PyExc_ValueError, "cannot set context of a greenlet that is running in a different thread");
    return -1;
  }
  Py_XSETREF(*place, context == Py_None ? NULL : Py_NewRef(context));
  PyThreadState_Get()->context_ver++;
  return 0;
}

static PyObject *get_frame(PyObject *object, void *closure) {
  (void)closure;
  Greenlet *self = AS_GREENLET(object);
  _PyInterpreterFrame *frame = _PyFrame_GetFirstComplete(self->calls.frame);
  PyFrameObject *found = frame ? _PyFrame_GetFrameObject(frame) : NULL;
  if (frame && !found) return NULL;
  return Py_NewRef(found ? (PyObject *)found : Py_None);
}

static PyObject *get_dead(PyObject *self, void *closure) {
  (void)closure;
  return PyBool_FromLong(AS_GREENLET(self)->stage == DEAD);
}

// No stack is ever copied.
static PyObject *get_stack_saved(PyObject *self, void *closure) {
  (void)self, (void)closure;
  return PyLong_FromLong(0);
}

static PyMethodDef Greenlet_methods[] = {
    {"switch", (PyCFunction)(void (*)(void))Greenlet_switch, METH_VARARGS | METH_KEYWORDS, switch_doc},
    {"throw", Greenlet_throw, METH_VARARGS, throw_doc},
    {"__getstate__", Greenlet_getstate, METH_NOARGS, NULL},
    {NULL},
};

static PyGetSetDef Greenlet_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"run", get_run, set_run, NULL, NULL},
    {"parent", get_parent, set_parent, NULL, NULL},
    {"gr_frame", get_frame, NULL, NULL, NULL},
    {"gr_context", get_context, put_context, NULL, NULL},
    {"dead", get_dead, NULL, NULL, NULL},
    {"_stack_saved", get_stack_saved, NULL, NULL, NULL},
    {NULL},
};

static PyNumberMethods Greenlet_number = {.nb_bool = Greenlet_bool};

PyDoc_STRVAR(Greenlet_doc, "greenlet(run=None, parent=None) -> greenlet\n\n"
                           "Creates a new greenlet object (without running it).\n\n"
                           " - *run* -- The callable to invoke.\n - *parent* -- The parent greenlet. The default is the current greenlet.");

static PyTypeObject Greenlet_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "greenlet.greenlet",
    .tp_basicsize = sizeof(Greenlet),
    .tp_dealloc = Greenlet_dealloc,
    .tp_repr = Greenlet_repr,
    .tp_as_number = &Greenlet_number,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = Greenlet_doc,
    .tp_traverse = Greenlet_traverse,
    .tp_clear = Greenlet_clear,
    .tp_weaklistoffset = offsetof(Greenlet, weakrefs),
    .tp_methods = Greenlet_methods,
    .tp_getset = Greenlet_getset,
    .tp_dictoffset = offsetof(Greenlet, dict),
    .tp_init = Greenlet_init,
    .tp_alloc = PyType_GenericAlloc,
    .tp_new = Greenlet_new,
    .tp_free = PyObject_GC_Del,
    .tp_finalize = Greenlet_finalize,
};

// ---- The module

static PyObject *get_current(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  Thread *thread = this_thread();
  if (!thread) return NULL;
  if (thread->doomed) kill_doomed(thread);
  return Py_NewRef((PyObject *)thread->current);
}

static PyObject *set_tracer(PyObject *module, PyObject *tracer) {
  (void)module;
  Thread *thread = this_thread();
  if (!thread) return NULL;
  PyObject *previous = thread->tracer;
  thread->tracer = tracer == Py_None ? NULL : Py_NewRef(tracer);
  return previous ? previous : Py_NewRef(Py_None);
}

static PyObject *get_tracer(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  Thread *thread = this_thread();
  if (!thread) return NULL;
  return Py_NewRef(thread->tracer ? thread->tracer : Py_None);
}

static PyObject *count_pending(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  Thread *thread = pthread_getspecific(threads);
  return PyLong_FromSsize_t(thread && thread->doomed ? PyList_GET_SIZE(thread->doomed) : 0);
}

static PyObject *count_mains(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromSsize_t(mains);
}

// Not the package's: whether a snapshot can be taken, which keeps no fibers.
static PyObject *count_active(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromSsize_t(active);
}

// Nothing is cleaned up that takes time worth measuring.
static PyObject *clocks_used(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  return PyLong_FromLong(0);
}

static PyObject *enable_cleanup(PyObject *module, PyObject *flag) {
  (void)module, (void)flag;
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"getcurrent", get_current, METH_NOARGS, "getcurrent() -> greenlet\n\nReturns the current greenlet."},
    {"settrace", set_tracer, METH_O, "settrace(callback) -> object\n\nSets a new tracing function and returns the previous one."},
    {"gettrace", get_tracer, METH_NOARGS, "gettrace() -> object\n\nReturns the currently set tracing function, or None."},
    {"get_pending_cleanup_count", count_pending, METH_NOARGS, NULL},
    {"get_total_main_greenlets", count_mains, METH_NOARGS, NULL},
    {"get_clocks_used_doing_optional_cleanup", clocks_used, METH_NOARGS, NULL},
    {"enable_optional_cleanup", enable_cleanup, METH_O, NULL},
    {"_count_active", count_active, METH_NOARGS, NULL},
    {NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "greenlet._greenlet", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit__greenlet(void) {
  static const char *const on_the_type[] = {"getcurrent", "error", "GreenletExit", "settrace", "gettrace"};
  if (pthread_key_create(&threads, NULL) != 0 || PyType_Ready(&Greenlet_Type) != 0) return NULL;
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  Exit = PyErr_NewException("greenlet.GreenletExit", PyExc_BaseException, NULL);
  Error = PyErr_NewException("greenlet.error", NULL, NULL);
  if (!Exit || !Error) return NULL;
  // For extension modules that are linked with the package's: there are none.
  if (PyModule_AddObjectRef(module, "_C_API", Py_None) != 0) return NULL;
  if (PyModule_AddObjectRef(module, "greenlet", (PyObject *)&Greenlet_Type) != 0) return NULL;
  if (PyModule_AddObjectRef(module, "GreenletExit", Exit) != 0 || PyModule_AddObjectRef(module, "error", Error) != 0) return NULL;
  if (PyModule_Add(module, "GREENLET_USE_GC", PyBool_FromLong(1)) != 0) return NULL;
  if (PyModule_Add(module, "GREENLET_USE_TRACING", PyBool_FromLong(1)) != 0) return NULL;
  if (PyModule_Add(module, "GREENLET_USE_CONTEXT_VARS", PyBool_FromLong(1)) != 0) return NULL;
  if (PyModule_AddIntConstant(module, "CLOCKS_PER_SEC", 1000000) != 0) return NULL;
  for (size_t i = 0; i < Py_ARRAY_LENGTH(on_the_type); i++) {
    PyObject *value = PyObject_GetAttrString(module, on_the_type[i]);
    if (!value || PyDict_SetItemString(Greenlet_Type.tp_dict, on_the_type[i], value) != 0) return NULL;
    Py_DECREF(value);
  }
  PyType_Modified(&Greenlet_Type);
  return module;
}
