import shutil
import sys

failed = 0
for name in sys.argv[1:] or ["-"]:
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
    except OSError as error:
        sys.stdout.flush()
        print(f"cat: {"".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)}: {error.strerror}", file=sys.stderr)
        failed = 1
sys.exit(failed)
