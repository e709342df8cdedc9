"""In the place of ctypes, which calls native code and is not in the sandbox. Django's runner imports it for the counters
that parallel processes of it share, and is told to have none."""
