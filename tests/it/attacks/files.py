# Mounted: /ro (read-only), /rw, and one host folder twice: /twice-ro and /twice-rw. Beside them on the
# host, not mounted: outside/secret. In each mount: file, folder/inner.
import os, shutil, pathlib

def read(path): return nothing(open(path).read())
def write(path, mode="w"):
    with open(path, mode) as file: file.write("changed")
def fresh(path):
    if os.path.lexists(path): os.remove(path)
    open(path, "w").write("old")
    return path
def opened(path, flags):
    os.close(os.open(path, flags, 0o600))

# --- a read-only mount against everything that changes something -----------------------------------
RO = ("EROFS", "EPERM")
def on(mount): return {
    "overwrite": lambda: write(f"{mount}/file"),
    "append": lambda: write(f"{mount}/file", "a"),
    "read and write": lambda: write(f"{mount}/file", "r+"),
    "create": lambda: write(f"{mount}/new"),
    "create exclusively": lambda: write(f"{mount}/new-x", "x"),
    "O_TRUNC while reading": lambda: opened(f"{mount}/file", os.O_RDONLY | os.O_TRUNC),
    "O_TRUNC while writing": lambda: opened(f"{mount}/file", os.O_WRONLY | os.O_TRUNC),
    "O_CREAT alone": lambda: opened(f"{mount}/new-c", os.O_RDONLY | os.O_CREAT),
    "truncate": lambda: os.truncate(f"{mount}/file", 1),
    "make a folder": lambda: os.mkdir(f"{mount}/new-folder"),
    "make folders": lambda: os.makedirs(f"{mount}/deep/er"),
    "make a link": lambda: os.symlink("file", f"{mount}/new-link"),
    "set times": lambda: os.utime(f"{mount}/file", (1, 1)),
    "set times of a folder": lambda: os.utime(f"{mount}/folder", (1, 1)),
    "rename inside": lambda: os.rename(f"{mount}/file", f"{mount}/file2") or os.rename(f"{mount}/file2", f"{mount}/file"),
    "replace": lambda: os.replace(f"{mount}/folder/inner", f"{mount}/folder/inner2") or os.replace(f"{mount}/folder/inner2", f"{mount}/folder/inner"),
    "hard link inside": lambda: os.link(f"{mount}/file", f"{mount}/hard"),
    "remove": lambda: os.remove(f"{mount}/folder/inner"),
    "remove a folder": lambda: os.rmdir(f"{mount}/empty"),
    "remove a tree": lambda: shutil.rmtree(f"{mount}/tree"),
    "through ..": lambda: write(f"{mount}/folder/../file"),
    "with //": lambda: write(f"/{mount}//file"),
    "by a folder's descriptor": lambda: by_descriptor(mount),
    "by a file's descriptor": lambda: ftruncate(mount),
    "through a link in a writable mount": lambda: through_link(mount),
}
def by_descriptor(mount):
    folder = os.open(f"{mount}/folder", os.O_RDONLY)
    try: os.close(os.open("made", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder))
    finally: os.close(folder)
def ftruncate(mount):
    with open(f"{mount}/file", "rb" if mount.endswith("ro") else "r+b") as file:
        try: os.ftruncate(file.fileno(), 1)
        except OSError as error:
            # A descriptor that was opened for reading: EINVAL or EBADF on every system.
            if error.errno in (errno.EINVAL, errno.EBADF, errno.EPERM): raise OSError(errno.EROFS, "") from None
            raise
def through_link(mount):
    link = "/rw/to-mount"
    if os.path.lexists(link): os.remove(link)
    os.symlink(f"{mount}/file", link)
    write(link)

writable, read_only = on("/rw"), on("/ro")
for name in writable:
    # A link out of a mount is not followed at all, wherever it leads.
    control = (lambda: write("/rw/file")) if "link in a writable" in name else writable[name]
    case("read-only: " + name, control, read_only[name], *RO, *(("ENOTCAPABLE", "ENOENT", "EACCES") if "link in a writable" in name else ()))

# --- out of a read-only mount into a writable one, and back ----------------------------------------
def across(how, source, target):
    def run():
        if os.path.lexists(target): os.remove(target)
        how(source, target)
    return run
def control_across(how):
    def run():
        fresh("/rw/a")
        across(how, "/rw/a", "/rw/b")()
    return run
for name, how in [("hard link", os.link), ("rename", os.rename), ("replace", os.replace)]:
    case(f"{name} ro to rw", control_across(how), across(how, "/ro/file", "/rw/stolen"), *RO)
    case(f"{name} ro to private", control_across(how), across(how, "/ro/file", "/tmp/stolen"), *RO, "EXDEV")
    case(f"{name} rw over ro", control_across(how), lambda how=how: how(fresh("/rw/a"), "/ro/file"), *RO, "EEXIST")
    case(f"{name} private over ro", control_across(how), lambda how=how: how(fresh("/tmp/a"), "/ro/file"), *RO, "EEXIST", "EXDEV")
case("move a folder out of ro", lambda: os.rename("/rw/movable", "/rw/moved"), lambda: os.rename("/ro/folder", "/rw/folder2"), *RO)
case("rename over a mount", lambda: os.rename(fresh("/tmp/x1"), "/tmp/x2"), lambda: os.rename(fresh("/tmp/x1"), "/ro"), *RO, "EISDIR", "EEXIST", "ENOTEMPTY", "EBUSY", "EINVAL", "EXDEV", "ENOENT")
case("remove a mount", lambda: os.mkdir("/tmp/d1") or os.rmdir("/tmp/d1"), lambda: os.rmdir("/ro"), *RO, "ENOTEMPTY", "EBUSY", "EINVAL", "ENOENT")
case("rename a mount away", lambda: os.mkdir("/tmp/d2") or os.rename("/tmp/d2", "/tmp/d3"), lambda: os.rename("/ro", "/tmp/taken"), *RO, "EBUSY", "EINVAL", "EXDEV", "ENOENT")

# --- one folder mounted twice: the weaker right stays the weaker one --------------------------------
case("twice: write by the ro name", lambda: write("/twice-rw/file"), lambda: write("/twice-ro/file"), *RO)
case("twice: remove by the ro name", lambda: os.remove(fresh("/twice-rw/x")), lambda: os.remove("/twice-ro/file"), *RO)
case("twice: link ro to rw", control_across(os.link), lambda: os.link("/twice-ro/file", "/twice-rw/hard"), *RO)
case("twice: rename ro to rw", control_across(os.rename), lambda: os.rename("/twice-ro/file", "/twice-rw/renamed"), *RO)

# --- out of a mount --------------------------------------------------------------------------------
OUT = ("ENOENT", "EPERM", "ENOTCAPABLE", "EACCES", "ELOOP", "ENOTDIR", "EINVAL", "EXDEV")
def leads(path): return lambda: read(path)
inside = leads("/rw/file")
for path in [
    "/rw/../outside/secret", "/rw/folder/../../outside/secret", "/../outside/secret",
    "../outside/secret", "/rw/../../../../../../../../etc/passwd", "/rw/./.././outside/secret",
    "/rw/folder/../../../etc/passwd", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/proc/self/environ",
    "/proc/1/root/etc/passwd", "/proc/self/fd/3", "/proc/self/cwd/secret", "/proc/self/maps", "/proc/self/mem",
    "/proc/self/exe", "/sys/kernel", "/dev/fd/3", "/dev/mem", "/dev/kmsg", "/dev/sda", "/var/run/docker.sock",
    "/run/docker.sock", "/root/.ssh/id_rsa", "/root/.bash_history", "/home", "//etc/passwd", "/./etc/passwd",
    "file:///etc/passwd", "\\etc\\passwd", "/rw/..\\outside\\secret", "C:/Windows/win.ini",
]:
    case(f"read {path}", inside, leads(path), *OUT)
# The device is there, as on every system; a terminal behind it is not.
case("read /dev/tty", inside, leads("/dev/tty"), "ENXIO")
case("read a path with NUL", inside, leads("/rw/file\0/../../outside/secret"), "ValueError")
case("read a very long path", inside, leads("/rw/" + "x/../" * 5000 + "../outside/secret"), *OUT, "ENAMETOOLONG")
case("read a very long name", inside, leads("/rw/" + "x" * 5000), "ENAMETOOLONG", "ENOENT")
for name in ["link-up", "link-absolute", "link-chain", "link-folder/secret", "link-loop", "link-dangling", "link-proc", "link-self/link-up", "folder/link-up-twice"]:
    case(f"follow {name}", leads("/rw/link-inside"), leads(f"/rw/{name}"), *OUT)
    case(f"write through {name}", lambda: write("/rw/link-inside"), lambda name=name: write(f"/rw/{name}"), *OUT, "EROFS")
case("list through a link", lambda: nothing(os.listdir("/rw/folder")), lambda: nothing(os.listdir("/rw/link-folder")), *OUT)
case("stat through a link", lambda: nothing(os.stat("/rw/link-inside")), lambda: nothing(os.stat("/rw/link-up")), *OUT)
case("rename through a link", lambda: os.rename(fresh("/rw/r1"), "/rw/r2"), lambda: os.rename(fresh("/rw/r1"), "/rw/link-folder/r2"), *OUT)
case("hard link through a link", lambda: across(os.link, fresh("/rw/r1"), "/rw/r3")(), lambda: os.link("/rw/link-folder/secret", "/rw/r4"), *OUT)
case("create through a dangling link", lambda: write("/rw/made"), lambda: write("/rw/link-create"), *OUT)
case("chdir out", lambda: os.chdir("/rw/folder") or os.chdir("/"), lambda: os.chdir("/rw/link-folder"), *OUT)
case("make a link out and follow it", lambda: across(os.symlink, "file", "/rw/l1")() or read("/rw/l1"), lambda: across(os.symlink, "../outside/secret", "/rw/l2")() or read("/rw/l2"), *OUT)
case("make an absolute link and follow it", lambda: across(os.symlink, "file", "/rw/l1")() or read("/rw/l1"), lambda: across(os.symlink, "/etc/passwd", "/rw/l3")() or read("/rw/l3"), *OUT)
def swap():
    os.mkdir("/rw/swap"); open("/rw/swap/secret", "w").write("own")
    folder = os.open("/rw/swap", os.O_RDONLY)
    os.remove("/rw/swap/secret"); os.rmdir("/rw/swap"); os.symlink("../outside", "/rw/swap")
    read("/rw/swap/secret")
case("swap a folder for a link, then walk", inside, lambda: swap(), *OUT)
def removed():
    os.mkdir("/rw/gone"); folder = os.open("/rw/gone", os.O_RDONLY); os.rmdir("/rw/gone")
    os.open("../file", os.O_RDONLY, dir_fd=folder)
case("open below a removed folder", lambda: read("/rw/file"), lambda: removed(), *OUT)
# Names that look alike are different names: rights go by handles, never by strings.
for name in ["FILE", "fi\u0301le", "\uff46ile", "file ", "file.", "file/", "file/."]:
    case(f"name like file: {name!r}", inside, leads(f"/ro/{name}"), "ENOENT", "ENOTDIR")

# --- descriptors -----------------------------------------------------------------------------------
def unknown_descriptors():
    known = 0
    for number in range(3, 4000):
        try: os.fstat(number)
        except OSError: continue
        known += 1
        try: os.read(number, 10)
        except OSError: continue
        raise AssertionError(f"descriptor {number} can be read")
    if known > 64: raise AssertionError(f"{known} descriptors")
    raise OSError(errno.EBADF, "none but folders")
case("descriptors that nobody opened", lambda: os.close(os.open("/rw/file", os.O_RDONLY)), unknown_descriptors, "EBADF")
case("a preopened folder as a way up", lambda: os.close(os.open("file", os.O_RDONLY, dir_fd=os.open("/rw", os.O_RDONLY))), lambda: os.open("../outside/secret", os.O_RDONLY, dir_fd=os.open("/rw", os.O_RDONLY)), *OUT)
case("an absolute path below a descriptor", inside, lambda: os.open("/etc/passwd", os.O_RDONLY, dir_fd=os.open("/rw", os.O_RDONLY)), *OUT)
