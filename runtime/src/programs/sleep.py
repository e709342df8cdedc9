import sys
import time

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

try:
    time.sleep(sum(float(word.rstrip("smhd")) * UNITS.get(word[-1:], 1) for word in sys.argv[1:]))
except ValueError:
    sys.exit(f"sleep: {' '.join(sys.argv[1:])}: write a number of seconds")
