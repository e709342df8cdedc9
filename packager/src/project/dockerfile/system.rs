//! Packages of Linux that a Dockerfile installs, which a package of ours has not.

/// Those that serve to build others, to fetch, or to look around in a container: an app does not need them to run. What ends in
/// `-dev` is of this kind, too.
const NOT_NEEDED: [&str; 36] = [
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
    "locales",
    "make",
    "media-types",
    "mime-support",
    "nano",
    "net-tools",
    "netcat",
    "netcat-openbsd",
    "netcat-traditional",
    "pkg-config",
    "procps",
    "rustc",
    "tini",
    "tzdata",
    "vim",
    "wget",
];

/// Libraries, up to the number in their names, that Python packages use at run time elsewhere. Here what needs one has it built
/// in, or is refused by its own name.
const LIBRARIES: [&str; 22] = [
    "libbz2",
    "libexpat",
    "libffi",
    "libgcc",
    "libgcc-s",
    "libgomp",
    "libjpeg",
    "libjpeg-turbo",
    "liblzma",
    "libmariadb",
    "libpcre",
    "libpng",
    "libpq",
    "libsqlite",
    "libssl",
    "libstdc++",
    "libwebp",
    "libxml",
    "libxslt",
    "libyaml",
    "sqlite-libs",
    "zlib",
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
    headers || name.starts_with('.') || NOT_NEEDED.contains(&name) || is_library(name)
}

/// `libffi8`, `libxslt1.1`, `libpng16-16`, `libssl3t64`, `zlib1g`; not `libxml2-utils`, which has programs.
fn is_library(name: &str) -> bool {
    let name = name.strip_suffix("-turbo").unwrap_or(name);
    let name = name.strip_suffix("t64").unwrap_or(name);
    LIBRARIES.iter().any(|library| {
        name.strip_prefix(library).is_some_and(|number| {
            let number = number.strip_suffix('g').unwrap_or(number);
            number
                .chars()
                .all(|c| c.is_ascii_digit() || "-.".contains(c))
        })
    })
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
        let libraries = "install libjpeg62-turbo libwebp7 libxml2 libxslt1.1 libffi8 zlib1g libssl3t64 libsqlite3-0 libmariadb3 libpcre3 libpcre2-8-0 libgomp1 mime-support media-types procps libpq5 libyaml-0-2 libstdc++6";
        assert_eq!(of(libraries), [""; 0]);
        assert_eq!(of("add libstdc++ libgcc libjpeg-turbo"), [""; 0]);
        let programs = "install nginx libxml2-utils sqlite3 libmagic1 libpango-1.0-0 libreoffice";
        assert_eq!(of(programs).len(), 6);
        assert_eq!(of("frobnicate x"), ["frobnicate", "x"]);
    }
}
