//! Flags and verbs that docker has and this command has not, each with the reason and what to do instead.

/// (flags, why they are refused and what to do instead)
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["--privileged"],
        "there is no privileged sandbox; grant single things with -v, -p, --allow-net",
    ),
    (
        &["--cap-add"],
        "Linux capabilities do not exist inside WebAssembly; leave the flag out",
    ),
    (
        &["--cap-drop"],
        "an app has no Linux capabilities to drop; leave the flag out",
    ),
    (
        &["--device", "--device-cgroup-rule"],
        "devices cannot be reached from WebAssembly",
    ),
    (&["--gpus"], "GPUs cannot be reached from WebAssembly"),
    (
        &["--pid", "--cgroupns", "--userns", "--uts", "--init"],
        "an app sees no processes but its own; leave the flag out",
    ),
    (
        &["--ipc", "--shm-size"],
        "an app has no IPC namespace; leave the flag out",
    ),
    (
        &["--security-opt", "--sysctl", "--runtime", "--isolation"],
        "the sandbox is not made of seccomp, SELinux or kernel options; leave the flag out",
    ),
    (
        &["--detach", "-d"],
        "apps run in the foreground so far; use your shell's `&`",
    ),
    (
        &["--user", "-u", "--group-add"],
        "an app has no host user; its files are private and mounts are yours",
    ),
    (&["--name", "--cidfile"], "running apps have no names yet"),
    (&["--restart"], "apps are not restarted yet"),
    (&["--mount"], "write it as -v HOST:GUEST[:ro]"),
    (
        &["--volumes-from"],
        "apps share named volumes: give both the same -v NAME:/data",
    ),
    (
        &["--net"],
        "the network is closed but for -p and --allow-net; --network none closes it whatever they say. For a server on this machine add \
         --allow-net host.docker.internal:PORT",
    ),
    (
        &["--add-host", "--dns", "--link", "--network-alias", "--ip"],
        "names are looked up by this machine; let the app reach one with --allow-net HOST[:PORT], and this machine itself with \
         --allow-net host.docker.internal:PORT",
    ),
    (
        &["--hostname"],
        "an app is called `localhost`; leave the flag out",
    ),
    (
        &["--expose"],
        "ports need not be announced; publish one with -p HOST:GUEST",
    ),
    (
        &["--label", "-l", "--annotation"],
        "labels are the package's: write LABEL in the Dockerfile",
    ),
    (
        &["--log-driver", "--log-opt"],
        "an app's output is that of its `pywasm run`; keep it with `> app.log 2>&1`",
    ),
    (
        &["--ulimit"],
        "limits have flags of their own: --max-files, --pids-limit, --cpu-time, --memory",
    ),
    (
        &[
            "--memory-swap",
            "--memory-swappiness",
            "--memory-reservation",
            "--oom-kill-disable",
        ],
        "an app has one limit of memory, -m SIZE",
    ),
    (
        &[
            "--cpu-shares",
            "--cpu-quota",
            "--cpu-period",
            "--cpuset-cpus",
        ],
        "an app has one limit of processors, --cpus NUMBER",
    ),
    (
        &["--stop-signal"],
        "an app is ended by SIGTERM, and by --stop-timeout after it",
    ),
    (
        &[
            "--health-cmd",
            "--health-interval",
            "--health-retries",
            "--health-timeout",
            "--no-healthcheck",
        ],
        "nothing watches an app; `pywasm serve --admin IP:PORT` answers /health",
    ),
    (
        &["--platform"],
        "a package runs on every machine; leave the flag out",
    ),
    (
        &["--no-cache"],
        "nothing is kept between builds but what was fetched; leave the flag out",
    ),
    (
        &[
            "--progress",
            "--rm",
            "--force-rm",
            "--squash",
            "--load",
            "--builder",
            "--cache-from",
            "--cache-to",
        ],
        "nothing is left of a build but its package; leave the flag out",
    ),
    (
        &["--pull"],
        "the newest releases that the requirements allow are looked for each time; leave the flag out",
    ),
    (
        &["--push"],
        "send the package when it is built, by `pywasm push NAME`",
    ),
    (
        &["--iidfile", "--metadata-file"],
        "`pywasm inspect NAME` shows the digest and all else of a package",
    ),
    (
        &["--network", "-m"],
        "what an app may do is given at its start: `pywasm run` has the flag; commands of a Dockerfile have no network",
    ),
    (
        &["--secret", "--ssh"],
        "commands of a Dockerfile see nothing of this machine; fetch what takes a secret before, and have it in the project",
    ),
];

/// (verbs, why they are not there and what to do instead)
const VERBS: &[(&[&str], &str)] = &[
    (
        &["ps", "top", "stats", "port", "events", "container"],
        "each app is a `pywasm run` in the foreground, with no daemon behind it; `pgrep -af 'pywasm run'` lists them",
    ),
    (
        &["logs", "attach"],
        "an app's output is that of its `pywasm run`; keep it with `pywasm run NAME > app.log 2>&1`",
    ),
    (
        &["stop", "kill", "pause", "unpause"],
        "stop an app with Ctrl-C or with `kill PID` of its `pywasm run`, which gives it --stop-timeout to end",
    ),
    (
        &["start", "restart", "create", "wait", "rename", "update"],
        "an app is not kept when it has ended; start it anew with `pywasm run NAME`",
    ),
    (
        &["rm", "diff", "commit", "export"],
        "nothing is left of an app that has ended; what it should keep belongs on a volume (`-v NAME:/data`). \
         `pywasm rmi` removes packages, `pywasm volume rm` volumes",
    ),
    (
        &["exec"],
        "nothing can be started inside a running app; `pywasm run --entrypoint python NAME` starts Python in another \
         instance of its package, and a volume (`-v NAME:/data`) shares files between them",
    ),
    (
        &["cp"],
        "an app's files are private to it; share a folder with `pywasm run -v HOST:GUEST`",
    ),
    (
        &["compose", "stack", "swarm", "service", "node"],
        "apps are started one by one; start each with `pywasm run`. The loopback of an app is its own, so publish the port of one that \
         others ask (-p 8080:8080) and let them reach it as host.docker.internal (--allow-net host.docker.internal:8080). \
         Databases run beside pywasm, on this machine, and are reached alike",
    ),
    (
        &["network"],
        "apps share no network, and the loopback of each is its own; publish a port (`pywasm run -p 8080:8080`) and let another app \
         reach it as host.docker.internal, with --allow-net host.docker.internal:8080",
    ),
    (
        &["image", "import", "search"],
        "packages are handled by `pywasm images`, `rmi`, `tag`, `inspect`, `history`, `save`, `load`, `pull` and `push`",
    ),
    (
        &["builder", "buildx"],
        "packages are built by `pywasm pack` (`pywasm build`), for every machine at once",
    ),
    (
        &["info"],
        "`pywasm version`, `pywasm doctor` and `pywasm system df` tell what is there",
    ),
    (
        &["volume create"],
        "a volume is made when an app first mounts it: `pywasm run -v NAME:/data`",
    ),
    (
        &["volume inspect", "volume prune"],
        "`pywasm volume ls` shows the volumes and where they are, `pywasm volume rm` removes those it is given",
    ),
];

/// The reason why a flag is refused, if it is one of docker's.
pub fn reason(flag: &str) -> Option<&'static str> {
    let flag = match flag.split('=').next().unwrap_or(flag) {
        // `-dit`: short ones in one word.
        short if !short.starts_with("--") && short.starts_with('-') && short.contains('d') => "-d",
        flag => flag,
    };
    let find = |(names, _): &&(&[&str], &str)| names.contains(&flag);
    REFUSED.iter().find(find).map(|(_, why)| *why)
}

/// The reason why there is no such verb, if it is one of docker's.
pub fn verb(name: &str) -> Option<&'static str> {
    VERBS
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, why)| *why)
}
