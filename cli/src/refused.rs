//! Flags that docker has and a WebAssembly sandbox cannot have, each with the reason.

/// (flag, why it is refused and what to do instead)
const REFUSED: &[(&str, &str)] = &[
    (
        "--privileged",
        "there is no privileged sandbox; grant single things with -v, -p, --allow-net",
    ),
    (
        "--cap-add",
        "Linux capabilities do not exist inside WebAssembly; leave the flag out",
    ),
    (
        "--cap-drop",
        "an app has no Linux capabilities to drop; leave the flag out",
    ),
    ("--device", "devices cannot be reached from WebAssembly"),
    ("--gpus", "GPUs cannot be reached from WebAssembly"),
    (
        "--pid",
        "an app sees no processes but its own; leave the flag out",
    ),
    ("--ipc", "an app has no IPC namespace; leave the flag out"),
    (
        "--security-opt",
        "the sandbox is not made of seccomp or SELinux options; leave the flag out",
    ),
    (
        "--detach",
        "apps run in the foreground so far; use your shell's `&`",
    ),
    (
        "-d",
        "apps run in the foreground so far; use your shell's `&`",
    ),
    (
        "--user",
        "an app has no host user; its files are private and mounts are yours",
    ),
    (
        "-u",
        "an app has no host user; its files are private and mounts are yours",
    ),
    ("--name", "running apps have no names yet"),
    ("--restart", "apps are not restarted yet"),
    ("--mount", "write it as -v HOST:GUEST[:ro]"),
];

/// The reason why a flag is refused, if it is one of docker's.
pub fn reason(flag: &str) -> Option<&'static str> {
    let flag = flag.split('=').next().unwrap_or(flag);
    REFUSED
        .iter()
        .find(|(name, _)| *name == flag)
        .map(|(_, why)| *why)
}
