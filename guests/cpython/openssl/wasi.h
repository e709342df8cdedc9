// Force-included into OpenSSL: what this libc's headers leave out, and ../threads has.
#pragma once

_Noreturn void pthread_exit(void *);
