//! Packages of Linux that a Dockerfile installs, which a package of ours has not.

/// Those that serve to build others, to fetch, or to look around in a container: an app does not need them to run. What ends in
/// `-dev` is of this kind, too.
const NOT_NEEDED: [&str; 34] = [
    "apt-transport-https",
    "apt-utils",
    "autoconf",
    "automake",
    "bash",
    "build-base",
    "build-essential",
    "ca-certificates",
    "cargo",
    "cmake",
    "curl",
    "dos2unix",
    "dumb-init",
    "g++",
    "gcc",
    "git",
    "gnupg",
    "htop",
    "less",
    "libc6",
    "libpq5",
    "locales",
    "make",
    "nano",
    "net-tools",
    "netcat",
    "netcat-openbsd",
    "netcat-traditional",
    "pkg-config",
    "rustc",
    "tini",
    "tzdata",
    "vim",
    "wget",
];

/// Of the words behind `apt-get`, the packages without which the app may miss something.
pub(super) fn missed<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let mut names = words.iter().copied().filter(|word| !word.starts_with('-'));
    match names.next() {
        Some("install" | "add") => names.filter(|name| !is_not_needed(name)).collect(),
        Some("update" | "upgrade" | "dist-upgrade" | "clean" | "autoclean" | "autoremove") => {
            Vec::new()
        }
        Some("remove" | "purge" | "del") => Vec::new(),
        _ => words.to_vec(),
    }
}

fn is_not_needed(name: &str) -> bool {
    let name = name.split(['=', '~', ':']).next().unwrap_or_default();
    let headers = ["-dev", "-devel", "-headers"]
        .iter()
        .any(|end| name.ends_with(end));
    // A name for several packages at once, which only serves to take them away again.
    headers || name.starts_with('.') || NOT_NEEDED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<&str> {
        missed(&line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn what_only_builds_is_not_missed() {
        assert!(of("install -y --no-install-recommends gcc libpq-dev=15.* curl").is_empty());
        assert!(of("add --no-cache --virtual .build-deps build-base").is_empty());
        assert!(of("update").is_empty());
        assert_eq!(of("install -y gcc ffmpeg"), ["ffmpeg"]);
        assert_eq!(of("frobnicate x"), ["frobnicate", "x"]);
    }
}
