#!/usr/bin/env python3
"""Times numpy's functions in the sandbox and in native Pythons, side by side, on arrays of several sizes.

Needs the package index, and a numpy in each Python named. Each runs in turn, several rounds of that; the best time of each counts,
so that what else the machine does tells little. With --write the table goes into docs/numpy.md.
"""

import argparse
import json
import math
import subprocess

from run import SPEED, TABLE, built_in

BEGIN, END = "<!-- speed: begin -->\n", "<!-- speed: end -->\n"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
# What is timed of `a` and `b`, random numbers; `i`, whole ones; `f`, single ones; `m`, a square matrix of no more than 300 rows.
FUNCTIONS = {
    "a + b": "np.add(a, b, out=o)",
    "a * b": "np.multiply(a, b, out=o)",
    "a / b": "np.divide(a, b, out=o)",
    "a > b": "np.greater(a, b)",
    "float32 a + b": "np.add(f, f, out=p)",
    "int32 a + b": "np.add(i, i)",
    "sum": "a.sum()",
    "max": "a.max()",
    "argmax": "a.argmax()",
    "sqrt": "np.sqrt(a, out=o)",
    "exp": "np.exp(a, out=o)",
    "sin": "np.sin(a, out=o)",
    "where": "np.where(a > b, a, b)",
    "dot": "a.dot(b)",
    "matrix product": "m @ m",
    "sort": "np.sort(a)",
    "sort int32": "np.sort(i)",
    "argsort": "np.argsort(a)",
    "median": "np.median(a)",
    "fft": "np.fft.fft(a)",
}
# Prints the best seconds of each function, in as many repetitions as fit into a time.
PROGRAM = """\
import json, sys, time
import numpy as np
functions, size, seconds = json.loads(sys.argv[1])
draw = np.random.default_rng(1)
a, b = draw.random(size), draw.random(size) + 0.5
i, f, o = draw.integers(0, 1 << 30, size, dtype=np.int32), a.astype(np.float32), np.empty(size)
p, rows = np.empty(size, np.float32), min(int(size ** 0.5), 300)
m = draw.random((rows, rows))
best = {}
for name, code in functions.items():
    run, taken, count = compile(code, name, "eval"), [], 1
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        began = time.perf_counter()
        for _ in range(count):
            eval(run)
        took = time.perf_counter() - began
        taken.append(took / count)
        if took < 0.001:
            count *= 2
    best[name] = min(taken)
print(json.dumps(best))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pywasm", action="append", required=True, metavar="NAME=PATH", help="a build of pywasm; may be given again")
    parser.add_argument("--native", action="append", default=[], metavar="NAME=PYTHON", help="a native Python that has numpy")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of all of them (default: 3)")
    parser.add_argument("--seconds", type=float, default=0.05, metavar="S", help="for each function in each round (default: 0.05)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/numpy.md")
    arguments = parser.parse_args()
    commands = {}
    for name, _, path in (text.partition("=") for text in arguments.pywasm):
        commands[name] = [path, "python", "--with", f"numpy=={built_in()}", "-c", PROGRAM]
    for name, _, path in (text.partition("=") for text in arguments.native):
        commands[name] = [path, "-c", PROGRAM]
    best = {(name, size): {} for name in commands for size in SIZES}
    for _ in range(arguments.rounds):
        for size in SIZES:
            for name, command in commands.items():
                keep_best(best[name, size], run(command, size, arguments.seconds))
    text = table(list(commands), best)
    print(text, end="")
    if arguments.write:
        head, _, rest = TABLE.read_text().partition(SPEED)
        told, _, rest = rest.partition(BEGIN)
        TABLE.write_text(head + SPEED + told + BEGIN + text + END + rest.partition(END)[2])


def run(command: list, size: int, seconds: float) -> dict:
    ended = subprocess.run([*command, json.dumps([FUNCTIONS, size, seconds])], check=True, text=True, stdout=subprocess.PIPE)
    return json.loads(ended.stdout)


def keep_best(best: dict, found: dict) -> None:
    for function, seconds in found.items():
        best[function] = min(seconds, best.get(function, math.inf))


def table(names: list, best: dict) -> str:
    """Of each function and size the microseconds of the first, and how many times as long each of the others takes."""
    first, *others = names
    lines = [f"| | numbers | {first}, µs | {' | '.join(f'{name} / {first}' for name in others)} |", f"|---|{'---:|' * (len(names) + 1)}"]
    ratios = {name: [] for name in others}
    for function in FUNCTIONS:
        for size in SIZES:
            own = best[first, size][function]
            row = [best[name, size][function] / own for name in others]
            for name, ratio in zip(others, row):
                ratios[name].append(ratio)
            lines.append(f"| {function} | {size:,} | {own * 1e6:,.1f} | {' | '.join(f'{ratio:.2f}' for ratio in row)} |")
    means = [math.exp(sum(map(math.log, ratios[name])) / len(ratios[name])) for name in others]
    lines.append(f"| geometric mean | | | {' | '.join(f'{mean:.2f}' for mean in means)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
