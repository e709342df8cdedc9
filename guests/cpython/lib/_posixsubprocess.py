"""What `subprocess` and `multiprocessing` start processes with, over the sandbox's own processes.

There is no fork and no other program than Python and the package's scripts: a process is the same package again, in a
sandbox of its own under the same grants.
"""

import errno
import os
import posix
import stat

import _pywasm_process

_STANDARD = range(3)
_MOST_BYTES = 2 << 20  # of arguments and variables together, and
_MOST_WORD = 128 << 10  # of one of them, as on Linux
_POINTER = 8  # to each, which Linux counts too
_MOST_DESCRIPTORS = 256  # that a process may pass on by leaving them inheritable


def _is_inheritable(fd):
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def _utf8(text, what):
    """As bytes. The sandbox passes text on, which not all bytes are."""
    encoded = os.fsencode(text)
    try:
        encoded.decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, f"{what} is not UTF-8", text) from None
    return encoded


def _is_utf8(variable):
    try:
        variable.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refuse_too_long(words):
    """As exec() does. The sandbox would end the app, which hands all of them over at once."""
    sizes = [len(word) + 1 for word in words]
    if max(sizes, default=0) > _MOST_WORD or sum(sizes) + len(sizes) * _POINTER > _MOST_BYTES:
        raise OSError(errno.E2BIG, "Argument list too long")


def _variable(name, value):
    name = os.fsencode(name)
    if b"=" in name:
        raise ValueError("illegal environment variable name")
    return name + b"=" + os.fsencode(value)


def start(program, arguments, environment, folder, descriptors):
    """Starts a process. `descriptors` maps its descriptors to ours. Returns its number."""
    folder = os.path.abspath(os.getcwd() if folder is None else os.fsdecode(folder))
    if environment is None:
        # Not os.environ: os.putenv() counts too.
        environment = [name + b"=" + value for name, value in posix._create_environ().items()]
    # Of those that cannot be passed on, most are inherited, and no reason to start nothing.
    environment = tuple(filter(_is_utf8, map(os.fsencode, environment)))
    words = tuple(_utf8(word, "an argument") for word in (program, *arguments[1:]))
    try:
        _refuse_too_long(words + environment)
        return _pywasm_process.spawn(
            words,
            environment,
            _utf8(folder, "the working folder"),
            tuple(descriptors.items()),
        )
    except OSError as error:
        if error.errno == errno.ENOTSUP and any(map(_is_socket, descriptors.values())):
            raise OSError(error.errno, "A socket cannot be passed to another process of the sandbox") from None
        if error.filename is None:
            missing_folder = error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(folder)
            error.filename = folder if missing_folder else os.fsdecode(arguments[0] if arguments else program)
        raise


def fork_exec(args, executables, close_fds, pass_fds, cwd, env, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite,
              errpipe_read, errpipe_write, restore_signals, start_new_session, process_group, gid, gids, uid, umask,
              preexec_fn, /):
    if preexec_fn not in (None, os.setsid, os.setpgrp):  # which hold for every process
        raise RuntimeError("preexec_fn cannot be called: a process of the sandbox is a new instance, not a fork")
    given = (p2cread, c2pwrite, errwrite)
    descriptors = {fd: fd if ours == -1 else ours for fd, ours in zip(_STANDARD, given)}
    descriptors = {fd: ours for fd, ours in descriptors.items() if ours != fd or _is_open(fd)}
    kept = set(pass_fds)
    if not close_fds:
        kept |= {fd for fd in range(len(_STANDARD), _MOST_DESCRIPTORS) if _is_inheritable(fd)}
    descriptors |= {fd: fd for fd in kept if fd not in _STANDARD and fd != errpipe_write}
    return start(executables[0], args, env, cwd, descriptors)


def posix_spawn(path, argv, env, /, *, file_actions=None, setpgroup=None, resetids=False, setsid=False, setsigmask=(),
                setsigdef=(), scheduler=None):
    """`os.posix_spawn`. There are no process groups, sessions or schedulers to set."""
    if not argv:
        raise ValueError("posix_spawn: argv must not be empty")
    descriptors = {fd: fd for fd in range(_MOST_DESCRIPTORS) if _is_inheritable(fd)}
    opened = []
    try:
        for action, *arguments in file_actions or ():
            if action == os.POSIX_SPAWN_OPEN:
                fd, target, flags, mode = arguments
                opened.append(os.open(target, flags, mode))
                descriptors[fd] = opened[-1]
            elif action == os.POSIX_SPAWN_CLOSE:
                descriptors.pop(arguments[0], None)
            elif action == os.POSIX_SPAWN_DUP2:
                fd, target = arguments
                descriptors[target] = descriptors.get(fd, fd)
            else:
                raise TypeError("Unknown file_actions identifier")
        return start(path, list(argv), None if env is None else [*map(_variable, env, env.values())], None, descriptors)
    finally:
        for fd in opened:
            os.close(fd)
