//! System calls, by seccomp: a list of those that an instance is made of. All others are refused with
//! EPERM, as they are for any program without the right to them.

use super::{Part, Reach, Threads};
use seccompiler::{
    BackendError, SeccompAction, SeccompCmpArgLen as Arg, SeccompCmpOp as Is, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, apply_filter_all_threads,
};
use std::collections::BTreeMap;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed with any arguments.
const ALWAYS: &[i64] = &[
    // files that are open, and below folders that are
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_utimensat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    // memory; executable memory below
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mincore,
    // threads; new ones below
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The other filter refuses it, in a way that makes the C library take `clone`.
    libc::SYS_clone3,
    // signals to itself
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // time, waiting, randomness
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // itself
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // sockets that are there; new ones below
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
];

/// The older forms of some, which newer machines do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Requests to a terminal; the types of libc's own constants differ between C libraries.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Executable memory, for mmap and mprotect.
const PROT_EXEC: u64 = libc::PROT_EXEC as u64;

pub(super) fn raise(reach: &Reach, threads: Threads) -> Part {
    match install(reach, threads) {
        Ok(()) => Part::Full,
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error)) => {
            Part::Missing(format!("the kernel refused the filter: {error}"))
        }
        Err(error) => Part::Missing(error.to_string()),
    }
}

fn install(reach: &Reach, threads: Threads) -> Result<(), seccompiler::Error> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let no_clone3 = SeccompFilter::new(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        refuse(libc::ENOSYS),
        machine,
    )?;
    let list = SeccompFilter::new(
        rules(reach)?,
        refuse(libc::EPERM),
        SeccompAction::Allow,
        machine,
    )?;
    for filter in [no_clone3, list] {
        let program: seccompiler::BpfProgram = filter.try_into()?;
        match threads {
            Threads::All => apply_filter_all_threads(&program)?,
            Threads::Own => apply_filter(&program)?,
        }
    }
    Ok(())
}

fn rules(reach: &Reach) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS
        .iter()
        .chain(OLDER)
        .map(|call| (*call, Vec::new()))
        .collect();
    let when = |arg, is: Is, value: u64| SeccompCondition::new(arg, Arg::Qword, is, value);
    let when32 = |arg, is: Is, value: u64| SeccompCondition::new(arg, Arg::Dword, is, value);
    let rule = |condition| SeccompRule::new(vec![condition]);

    // New threads, never new processes.
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(
        libc::SYS_clone,
        vec![rule(when(0, Is::MaskedEq(thread), thread)?)?],
    );
    // Signals to this process alone: `abort` sends one.
    let own = std::process::id().into();
    rules.insert(libc::SYS_tgkill, vec![rule(when32(0, Is::Eq, own)?)?]);
    // Looking at limits, of itself; never setting them.
    rules.insert(
        libc::SYS_prlimit64,
        vec![SeccompRule::new(vec![
            when32(0, Is::Eq, 0)?,
            when(2, Is::Eq, 0)?,
        ])?],
    );
    // A thread may take a lower place in the queue for processors, never a better one than programs have.
    let own = [(0, libc::PRIO_PROCESS.into()), (1, 0)];
    let own = own.map(|(arg, value)| when32(arg, Is::Eq, value));
    let own = own.into_iter().collect::<Result<Vec<_>, _>>()?;
    let lower = [own.clone(), vec![when32(2, Is::Le, 19)?]].concat();
    rules.insert(libc::SYS_getpriority, vec![SeccompRule::new(own)?]);
    rules.insert(libc::SYS_setpriority, vec![SeccompRule::new(lower)?]);
    // Names of threads and of memory.
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];
    let names = names.map(|option| rule(when32(0, Is::Eq, option.unsigned_abs().into())?));
    rules.insert(
        libc::SYS_prctl,
        names.into_iter().collect::<Result<_, _>>()?,
    );
    // A terminal can be made to read what a program writes to it, as if typed by the person.
    let keys = [TIOCSTI, TIOCLINUX].map(|request| when32(1, Is::Ne, request));
    rules.insert(
        libc::SYS_ioctl,
        vec![SeccompRule::new(
            keys.into_iter().collect::<Result<_, _>>()?,
        )?],
    );
    // All code was made executable before. Only looking up names loads more: the resolver's plug-ins.
    let names = reach.outbound.has_names();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let data = match names {
            true => Vec::new(),
            false => vec![rule(when32(2, Is::MaskedEq(PROT_EXEC), 0)?)?],
        };
        rules.insert(call, data);
    }
    // The event loop's own pair.
    let unix = libc::AF_UNIX.unsigned_abs().into();
    rules.insert(libc::SYS_socketpair, vec![rule(when32(0, Is::Eq, unix)?)?]);
    let mut families = Vec::new();
    if !reach.published.is_empty() || !reach.outbound.is_empty() {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if names {
        families.extend([libc::AF_UNIX, libc::AF_NETLINK]);
    }
    if !families.is_empty() {
        let sockets = families
            .into_iter()
            .map(|family| rule(when32(0, Is::Eq, family.unsigned_abs().into())?))
            .collect::<Result<_, _>>()?;
        rules.insert(libc::SYS_socket, sockets);
    }
    Ok(rules)
}
