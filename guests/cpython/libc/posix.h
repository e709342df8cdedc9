// What this libc's headers leave out and these sources add. Force-include it (-include) where a program's
// sources expect POSIX. It includes nothing that looks at a program's feature macros, before which it can come.
#pragma once

#ifndef __ASSEMBLER__
#include <__struct_timeval.h>

#ifdef __cplusplus
extern "C" {
#endif

#define F_DUPFD 0
#define F_DUPFD_CLOEXEC 1030
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 12
#define F_SETLK 13
#define F_SETLKW 14
#define SOCK_RAW 3
#define SOCK_RDM 4
#define SOCK_SEQPACKET 7
#define SO_BROADCAST 6
#define SO_OOBINLINE 10
#define SO_LINGER 13
#define SO_REUSEPORT 15

#define TIOCGWINSZ 0x5413
struct winsize {
  unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};

int dup(int);
int dup2(int, int);
int dup3(int, int, int);
int pipe(int[2]);
int pipe2(int[2], int);
int socketpair(int, int, int, int[2]);

unsigned getuid(void);
unsigned geteuid(void);
unsigned getgid(void);
unsigned getegid(void);
int getgroups(int, unsigned *);
int getpid(void);
int getppid(void);
int getpgrp(void);
int kill(int, int);
char *getlogin(void);
int getlogin_r(char *, __SIZE_TYPE__);
unsigned umask(unsigned);
int chown(const char *, unsigned, unsigned);
int lchown(const char *, unsigned, unsigned);
int fchown(int, unsigned, unsigned);
int fchownat(int, const char *, unsigned, unsigned, int);

void tzset(void);

// ../threads
int pause(void);
unsigned alarm(unsigned);
#define ITIMER_REAL 0
struct itimerval {
  struct timeval it_interval, it_value;
};
int getitimer(int, struct itimerval *);
int setitimer(int, const struct itimerval *, struct itimerval *);
_Noreturn void pthread_exit(void *);

// Descriptors the program has opened, beside 0, 1 and 2. A snapshot can keep none of them.
unsigned pywasm_open_descriptors(void);

#ifdef __cplusplus
}
#endif
#endif
