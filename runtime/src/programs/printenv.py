import os
import sys

names = sys.argv[1:]
for name in names:
    if name in os.environ:
        print(os.environ[name])
for name, value in os.environ.items() if not names else ():
    print(f"{name}={value}")
sys.exit(any(name not in os.environ for name in names))
