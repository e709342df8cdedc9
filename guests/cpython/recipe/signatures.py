"""C functions of extensions that have fewer parameters than the interpreter calls them with.

A method without arguments is still called with two, a getter with two, and so on. Other machines forgive a function that
leaves the last ones out; WebAssembly compares the types of functions at every indirect call and ends the guest. So
what is missing is added to the definitions, wherever a table of methods, attributes or slots names such a function.
"""

import re
from pathlib import Path

# Definitions and declarations begin a line, which calls do not. A parameter may be in parentheses of a macro.
DEFINITION = re.compile(r"^((?:\w[\w \t*]*[ \t*])?(\w+)\s*\()((?:[^;{}()]|\([^;{}()]*\))*)(\)\s*[{;])", re.M)
GIVES_NOTHING = re.compile(r"^(?:static\s+)?void\s+(\w+)\s*\(", re.M)
METHOD = re.compile(
    r'\{\s*"\w+"\s*,\s*(?:\(\s*\w+\s*\))?\s*(?:_PyCFunction_CAST\()?(?:\(void ?\(\*\)\(void\)\))?\s*(\w+)\)?\s*,\s*(METH_[A-Z_| ]+)')
ATTRIBUTE = re.compile(r'\{\s*"\w+"\s*,\s*(?:\(\s*getter\s*\))?\s*(\w+)\s*,\s*(?:\(\s*setter\s*\))?\s*(\w+)\s*[,}]')
SLOT = re.compile(r"\{\s*Py_(\w+)\s*,\s*(?:\([\w\s*]+\))?\s*(\w+)\s*\}|\.(tp_\w+)\s*=\s*(?:\(\w+\))?\s*(\w+)")
SLOT_PARAMETERS = {
    "tp_clear": 1, "tp_dealloc": 1, "tp_finalize": 1, "tp_repr": 1, "tp_str": 1, "tp_hash": 1, "tp_iter": 1, "tp_iternext": 1,
    "tp_getattro": 2, "tp_traverse": 3, "tp_call": 3, "tp_init": 3, "tp_new": 3, "tp_richcompare": 3, "tp_setattro": 3,
    "tp_descr_get": 3, "tp_descr_set": 3,
}
INT_SLOTS = {"tp_clear", "tp_traverse", "tp_init", "tp_setattro", "tp_descr_set"}


def complete(folder: Path) -> list:
    """Adds the missing parameters in all C and C++ files of a package and gives the names of the functions changed."""
    files = sorted(file for pattern in ("*.c", "*.h", "*.c.src", "*.cpp") for file in folder.rglob(pattern) if file.is_file())
    texts = {file: file.read_text(errors="surrogateescape") for file in files}
    expected = {}
    for text in texts.values():
        expected |= called_with(text)
    changed = []
    for file, text in texts.items():
        if "PyObject" not in text:  # functions of C's own that some table names too
            continue
        text = DEFINITION.sub(lambda found: lengthen(found, expected.get(found[2], 0)), text)
        if text != texts[file]:
            changed.append(file.name)
            file.write_text(text, errors="surrogateescape")
    return changed


def called_with(text: str) -> dict:
    """How many parameters the functions in a file's tables are called with."""
    expected = {}
    for name, flags in METHOD.findall(text):
        flags = set(flags.replace(" ", "").split("|"))
        if "METH_FASTCALL" in flags:
            expected[name] = 5 if "METH_METHOD" in flags else 4 if "METH_KEYWORDS" in flags else 3
        else:
            expected[name] = 3 if "METH_KEYWORDS" in flags else 2
    for getter, setter in ATTRIBUTE.findall(text):
        if not setter.startswith("METH_"):
            expected |= {getter: 2, setter: 3}
    giving_nothing = set(GIVES_NOTHING.findall(text))
    for slot, name, member, value in SLOT.findall(text):
        if (slot or member) in SLOT_PARAMETERS:
            expected[name or value] = SLOT_PARAMETERS[slot or member]
            if (slot or member) in INT_SLOTS and (name or value) in giving_nothing:
                raise SystemExit(f"{name or value} gives nothing but {slot or member} has to give an int: change it by a patch")
    return {name: count for name, count in expected.items() if name != "NULL"}


def lengthen(found: re.Match, count: int) -> str:
    parameters = [part for part in found[3].split(",") if part.strip() not in ("", "void")]
    if len(parameters) >= count:
        return found[0]
    more = [f" void *Py_UNUSED(added{number})" for number in range(len(parameters), count)]
    return found[1] + ",".join(parameters + more) + found[4]
