import os
import sys

words = sys.argv[1:]
while words and words[0] in ("-", "-i", "--ignore-environment"):
    os.environ.clear()
    del words[0]
while words and "=" in words[0]:
    name, _, value = words.pop(0).partition("=")
    os.environ[name] = value
if words:
    try:
        os.execv(words[0], words)
    except FileNotFoundError as error:
        print(f"env: {words[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)
for name, value in os.environ.items():
    print(f"{name}={value}")
