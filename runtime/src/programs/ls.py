import os
import stat
import sys
import time

letters, names = set(), []
for word in sys.argv[1:]:
    if word.startswith("-") and word != "-":
        letters |= set(word[1:])
    else:
        names.append(word)
if unknown := letters - set("1aAdhlR"):
    sys.exit(f"ls: -{min(unknown)} is not known here; known are -1, -a, -A, -d, -h, -l and -R")


def size(number):
    if "h" in letters:
        for unit in "", "K", "M", "G":
            if number < 1024:
                return f"{number:.1f}{unit}" if unit and number < 10 else f"{number:.0f}{unit}"
            number /= 1024
    return str(number)


def show(folder, entries):
    if "l" not in letters:
        print(*entries, sep="\n", end="\n" if entries else "")
        return
    rows = []
    for entry in entries:
        path = os.path.join(folder, entry)
        status = os.lstat(path)
        target = f" -> {os.readlink(path)}" if stat.S_ISLNK(status.st_mode) else ""
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.st_mtime))
        rows.append((stat.filemode(status.st_mode), size(status.st_size), when, entry + target))
    width = max((len(row[1]) for row in rows), default=0)
    for mode, length, when, name in rows:
        print(mode, length.rjust(width), when, name)


def listed(folder):
    entries = sorted(os.listdir(folder))
    if not letters & {"a", "A"}:
        entries = [entry for entry in entries if not entry.startswith(".")]
    return [".", "..", *entries] if "a" in letters else entries


failed, files, folders = 0, [], []
for name in names or ["."]:
    try:
        status = os.lstat(name) if "d" in letters else os.stat(name)
    except OSError as error:
        print(f"ls: {"".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)}: {error.strerror}", file=sys.stderr)
        failed = 2
    else:
        (folders if stat.S_ISDIR(status.st_mode) and "d" not in letters else files).append(name)
show("", files)
many = len(names) > 1 or "R" in letters
before = bool(files)
while folders:
    folder = folders.pop(0)
    if many:
        print("\n" * before + f"{folder}:")
    before = True
    entries = listed(folder)
    show(folder, entries)
    if "R" in letters:
        below = (os.path.join(folder, entry) for entry in entries if entry not in (".", ".."))
        folders[:0] = [path for path in below if os.path.isdir(path) and not os.path.islink(path)]
sys.exit(failed)
