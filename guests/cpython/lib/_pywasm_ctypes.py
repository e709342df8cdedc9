"""What ctypes has beyond its own C: the list of loaded libraries, which is empty, and C functions made of Python's.

WebAssembly adds no code while it runs, so that the latter cannot be.
Many a module makes one while it is imported and never comes to use it, as that of Django for a library that is not here. So it
can be made, and be called from Python; only C finds nothing to call.
"""


def _give_way(kind):
    plain_new, plain_call, plain_from = kind.__new__, kind.__call__, kind.from_param

    def __new__(cls, *args):
        try:
            return plain_new(cls, *args)
        except NotImplementedError:
            if not (args and callable(args[0])):
                raise
            function = plain_new(cls)  # that leads nowhere
            function._python_function = args[0]
            return function

    def __call__(self, *args, **options):
        function = self.__dict__.get("_python_function")
        return function(*args) if function else plain_call(self, *args, **options)

    def from_param(cls, value):
        if hasattr(value, "_python_function"):
            raise NotImplementedError("C cannot call a Python function in the sandbox: WebAssembly cannot add code while it runs")
        return plain_from(value)

    kind.__new__, kind.__call__, kind.from_param = __new__, __call__, classmethod(from_param)


def _dl_iterate_phdr(callback, data):
    """What threadpoolctl asks for the libraries that compute in threads: all is one program here, and none is loaded."""
    return 0


def install(ctypes):
    find = ctypes.CDLL.__getattr__

    def __getattr__(self, name):
        return _dl_iterate_phdr if name == "dl_iterate_phdr" else find(self, name)

    ctypes.CDLL.__getattr__ = __getattr__
    make = ctypes.CFUNCTYPE

    def CFUNCTYPE(restype, *argtypes, **options):
        kind = make(restype, *argtypes, **options)
        if "from_param" not in kind.__dict__:  # the same for the same types each time
            _give_way(kind)
        return kind

    CFUNCTYPE.__doc__ = make.__doc__
    ctypes.CFUNCTYPE = CFUNCTYPE
