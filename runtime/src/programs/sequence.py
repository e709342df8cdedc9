"""The programs of a shell's line, one after the other: what `sh -c` does in a process that another one has started."""

import json
import os
import subprocess
import sys


def say(text):
    """On one line, and without control characters."""
    print("sh:", "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text), file=sys.stderr)


start = os.getcwd()
code = 0
for step in json.loads(sys.argv[1]):
    if step["when"] == "success" and code or step["when"] == "failure" and not code:
        continue
    try:
        if step["folder"] is not None:
            os.chdir(os.path.join(start, step["folder"]))
    except OSError as error:
        say(f"cd: {step['folder']}: {error.strerror}")
        code = 2
        continue
    try:
        code = subprocess.call(step["words"], env=os.environ | dict(step["env"]))
    except OSError as error:
        say(f"{step['words'][0]}: {error.strerror}")
        code = 127
    code = code if code >= 0 else 128 - code
    if step["is_last"]:
        break
sys.exit(code)
