// The component's entry: the work of libc's crt and of CPython's main().
//
// There is no crt command and no _initialize. Everything from the host (arguments, environment, folders, working
// folder) is taken in run(), so that an instance can be snapshotted between prepare() and run().
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/libc-environ.h>
#include <wasi/libc.h>
#include <wasi/wasip2.h>

#include "coop.h"
#include "entry.h"

void __wasm_call_ctors(void);

// Where the standard library is mounted (PREFIX/lib/python3.14), as in the python container images.
static const char PREFIX[] = "/usr/local";
static const char EXECUTABLE[] = "/usr/local/bin/python3";

static void start_libc(void) {
  static bool started;
  if (!started) {
    started = true;
    __wasm_call_ctors();
  }
  coop_enter();
  __wasilibc_maybe_reinitialize_environ_eagerly();
  coop_take_thread_limit();
}

// libc starts in "/"; the host says where the program expects to be.
static void enter_initial_folder(void) {
  wasip2_string_t folder;
  if (!environment_initial_cwd(&folder)) return;
  char *path = strndup((const char *)folder.ptr, folder.len);
  if (!path || chdir(path) != 0) {
    fprintf(stderr, "python: cannot enter the working folder %s: %s\n", path ? path : "", strerror(errno));
    exit(126);
  }
  free(path);
  wasip2_string_free(&folder);
}

static char **arguments(int *count) {
  wasip2_list_string_t list;
  environment_get_arguments(&list);
  char **argv = calloc(list.len + 2, sizeof *argv);
  if (!argv) abort();
  for (size_t i = 0; i < list.len; i++)
    if (!(argv[i] = strndup((const char *)list.ptr[i].ptr, list.ptr[i].len))) abort();
  if (list.len == 0) argv[0] = strdup("python3");
  *count = list.len ? (int)list.len : 1;
  wasip2_list_string_free(&list);
  return argv;
}

static void require(PyStatus status) {
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
}

static void initialise(int argc, char **argv) {
  if (!Py_IsInitialized() && PyImport_AppendInittab("_pywasm_process", pywasm_init_process) < 0) abort();
  PyPreConfig pre;
  PyPreConfig_InitPythonConfig(&pre);
  require(Py_PreInitializeFromBytesArgs(&pre, argc, argv));

  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  require(PyConfig_SetBytesArgv(&config, argc, argv));
  require(PyConfig_SetBytesString(&config, &config.home, PREFIX));
  require(PyConfig_SetBytesString(&config, &config.program_name, EXECUTABLE));
  require(PyConfig_SetBytesString(&config, &config.executable, EXECUTABLE));
  require(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
}

// A container's output is mostly read through a pipe, where it should appear line by line as it does on a terminal.
static void flush_output_at_line_ends(void) {
  PyObject *output = PySys_GetObject("stdout");  // borrowed
  if (!output || output == Py_None) return;
  PyObject *reconfigure = PyObject_GetAttrString(output, "reconfigure");
  PyObject *none = PyTuple_New(0), *options = Py_BuildValue("{s:O}", "line_buffering", Py_True);
  PyObject *done = reconfigure && none && options ? PyObject_Call(reconfigure, none, options) : NULL;
  if (!done) PyErr_Print();
  Py_XDECREF(done);
  Py_XDECREF(options);
  Py_XDECREF(none);
  Py_XDECREF(reconfigure);
}

// Our own start-up hook, which unlike sitecustomize and .pth files also works under -S and -I.
static void import_site(void) {
  PyObject *module = PyImport_ImportModule("_pywasm_site");
  if (!module) {
    if (PyErr_ExceptionMatches(PyExc_ModuleNotFoundError)) PyErr_Clear();  // another standard library is mounted
    else PyErr_Print();
  }
  Py_XDECREF(module);
}

static void call_snapshot(const char *function) {
  PyObject *module = PyImport_ImportModule("_pywasm_snapshot");
  PyObject *result = module ? PyObject_CallMethod(module, function, NULL) : NULL;
  if (!result) {
    PyErr_Print();  // exits where the exception is a SystemExit
    exit(1);
  }
  Py_DECREF(result);
  Py_DECREF(module);
}

static bool prepared;

// All of the instance's memory, as the component model returns a list.
static struct {
  uint8_t *start;
  size_t length;
} memory;

// Python started, and the modules imported that the command line lists. Gives out the memory, from which the host makes
// a snapshot: whatever starts from it goes on in run(). So nothing of the host may remain in it: no handle, no variable
// of the environment, nothing on the stack.
__attribute__((export_name("prepare"))) void *prepare(void) {
  start_libc();
  int argc;
  char **argv = arguments(&argc);
  initialise(argc, argv);
  import_site();
  call_snapshot("prepare");
  pywasm_make_immortal();
  fflush(NULL);
  __wasilibc_reset_preopens();
  __wasilibc_deinitialize_environ();
  prepared = true;
  memory.length = __builtin_wasm_memory_size(0) * 65536;
  memset((void *)1, 0, coop_get_stack_pointer() - 1);  // the stack lies first; what is below its end is left over
  return &memory;
}

__attribute__((export_name("wasi:cli/run@0.2.12#run"))) int run(void) {
  start_libc();
  enter_initial_folder();
  int argc;
  char **argv = arguments(&argc);
  // After prepare() this is CPython's documented reconfiguration: the new command line replaces the old.
  initialise(argc, argv);
  if (prepared) call_snapshot("resume");
  flush_output_at_line_ends();
  import_site();
  // exit(), not return: the result of run() can only say whether the program failed, not its exit code.
  exit(Py_RunMain());
}
