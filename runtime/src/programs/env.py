import os
import sys

if sys.argv[1:]:
    sys.exit("env: here it only shows the variables; set one with --env, or in a line for a shell: NAME=VALUE PROGRAM")
for name, value in os.environ.items():
    print(f"{name}={value}")
