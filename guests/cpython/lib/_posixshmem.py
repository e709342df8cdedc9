"""Memory that processes share by name: the sandbox's share none.

`multiprocessing` wants this module for more than shared memory, so it is here and says no.
"""

import errno


def shm_open(path, flags, mode=511):
    raise OSError(errno.ENOSYS, "processes of the sandbox share no memory", path)


def shm_unlink(path, /):
    raise FileNotFoundError(errno.ENOENT, "processes of the sandbox share no memory", path)
