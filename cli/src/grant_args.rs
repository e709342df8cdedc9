//! The rights that a person gives on the command line: the same flags for everything that runs.

use crate::units::{ByteSize, Span, number};
use crate::volume_name::VolumeName;
use anyhow::bail;
use clap::{Args, ValueEnum};
use pywasm::policy::{CpuShare, OutboundRule, PortMaps};
use pywasm_format::{GuestPath, GuestPathError};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const LIMITS: &str = "Limits";

/// With less the smallest of our Pythons does not start, as a test says.
const LEAST_MEMORY: ByteSize = ByteSize(24 << 20);

#[derive(Debug, Args)]
pub struct GrantArgs {
    /// Publish a port, or a range of them; without IP on 127.0.0.1 only
    #[arg(short, long, value_name = "[IP:]HOST:GUEST[/udp]")]
    pub publish: Vec<PortMaps>,
    /// Show a host folder or a named volume to the app; a file as a copy, with :ro
    #[arg(short, long, value_name = "HOST|NAME:GUEST[:ro]")]
    pub volume: Vec<VolumeArg>,
    /// Set an environment variable, or pass on this shell's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<EnvArg>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Most memory the app may use, such as 512m or 1g [default: 1g]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_memory)]
    pub memory: Option<ByteSize>,
    /// End the app after this long, such as 30s or 5m (exit code 124)
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// How long the app may take to end after SIGTERM [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub stop_timeout: Option<Span>,
    /// Let the app connect to a host name, *.NAME, address, range or * (public addresses)
    #[arg(long, value_name = "HOST[:PORT]", value_parser = outbound)]
    pub allow_net: Vec<OutboundRule>,
    /// Read grants from the table [policy] of a file; flags given here win
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// Let the app change none of its files but those of --tmpfs and --volume
    #[arg(long)]
    pub read_only: bool,
    /// Empty folder that the app may change, thrown away with it
    #[arg(long, value_name = "FOLDER", value_parser = parse_tmpfs)]
    pub tmpfs: Vec<GuestPath>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Let the kernel confine the process too (Landlock, seccomp): as far as it can, fully, or not
    #[arg(
        long,
        help_heading = LIMITS,
        value_name = "auto|require|off",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub wall: WallArg,
}

/// `-v HOST:GUEST[:ro|rw]`, not yet checked against the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeArg {
    pub source: VolumeSource,
    pub guest: GuestPath,
    pub read_only: bool,
}

/// Where a volume's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// On the host, as given.
    Path(PathBuf),
    /// In a folder that pywasm keeps under this name.
    Named(VolumeName),
}

impl fmt::Display for VolumeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Named(name) => name.fmt(f),
        }
    }
}

/// `-e NAME=VALUE`, or `-e NAME` for the value of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvArg {
    pub name: String,
    pub value: Option<String>,
}

/// Whether the kernel confines the process of an app, beside the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum WallArg {
    /// As far as this kernel can.
    #[default]
    Auto,
    /// Not starting where it cannot fully.
    Require,
    /// Not at all.
    Off,
}

// How much of the machine the app may use, beside --memory and --timeout.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArgs {
    /// Share of one processor, such as 0.5 (Python runs about a quarter slower with it)
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS)]
    pub cpus: Option<CpuShare>,
    /// End the app after this much processor time, such as 10s (exit code 124)
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub cpu_time: Option<Span>,
    /// End the app after this many WebAssembly instructions, always at the same one (exit code 124)
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS, value_parser = number("instructions", 1..=u64::MAX))]
    pub fuel: Option<u64>,
    /// Most threads at once [default: 1024]
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS, value_parser = number("threads", 1..=u32::MAX))]
    pub pids_limit: Option<u32>,
    /// Most sockets open at once [default: 4096]
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS, value_parser = number("sockets", 0..=u32::MAX))]
    pub max_sockets: Option<u32>,
    /// Most files and folders open at once [default: 4096]
    #[arg(long, value_name = "NUMBER", help_heading = LIMITS, value_parser = number("files", 0..=u32::MAX))]
    pub max_files: Option<u32>,
    /// Most that the app's private files may take on disk, such as 100m [default: 1g]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub disk: Option<ByteSize>,
    /// End the app when it has written this much to its output (exit code 137)
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub output_limit: Option<ByteSize>,
    /// Most output a second; the app waits when it writes more
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub output_rate: Option<ByteSize>,
}

impl GrantArgs {
    /// What is mounted where, each with its flag.
    fn mounted(&self) -> impl Iterator<Item = (&GuestPath, String)> {
        let volumes = self.volume.iter().map(|volume| {
            let VolumeArg { source, guest, .. } = volume;
            (guest, format!("--volume {source}:{guest}"))
        });
        let folders = self.tmpfs.iter();
        volumes.chain(folders.map(|guest| (guest, format!("--tmpfs {guest}"))))
    }

    /// Of two folders at the same place the app would see one, and nobody could tell which.
    pub fn refuse_double(&self) -> anyhow::Result<()> {
        let mut at = BTreeMap::new();
        for (guest, flag) in self.mounted() {
            if let Some(other) = at.insert(guest, flag.clone()) {
                bail!("`{other}` and `{flag}` have the same place; give each a folder of its own");
            }
        }
        Ok(())
    }

    /// Is something mounted at `place`?
    pub fn mounts_at(&self, place: &GuestPath) -> bool {
        self.mounted().any(|(guest, _)| guest == place)
    }
}

/// What stands behind the second colon, as `ro`, or `rw,Z`.
fn is_read_only(options: &str) -> Result<bool, String> {
    let mut read_only = false;
    for option in options.split(',') {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            // Labels for SELinux, and how up to date Docker Desktop keeps its copy: nothing is labelled or copied here.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            _ => return Err(format!("`{option}` is not ro or rw; leave it out")),
        }
    }
    Ok(read_only)
}

impl FromStr for VolumeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, guest, read_only) = match parts[..] {
            [host, guest] => (host, guest, false),
            [host, guest, options] => (host, guest, is_read_only(options)?),
            _ => {
                return Err(
                    "write HOST:GUEST, for example ./data:/data or ./data:/data:ro".to_owned(),
                );
            }
        };
        if host.is_empty() {
            return Err(format!(
                "what to mount is missing before `:{guest}`; write HOST:GUEST, for example ./data:/data"
            ));
        }
        let guest = parse_place(guest)?;
        let source = match host.contains('/') || host == "." || host == ".." {
            true => VolumeSource::Path(host.into()),
            false => VolumeSource::Named(
                host.parse()
                    .map_err(|error: String| format!("{error}; write ./{host} for a folder"))?,
            ),
        };
        Ok(Self {
            source,
            guest,
            read_only,
        })
    }
}

fn parse_memory(text: &str) -> Result<ByteSize, String> {
    match text.parse()? {
        size if size < LEAST_MEMORY => Err(format!(
            "`{text}` is less than Python needs to start; give at least {}m",
            LEAST_MEMORY.0 >> 20
        )),
        size => Ok(size),
    }
}

/// `FOLDER`; docker's options after a colon are for a kernel's file system.
fn parse_tmpfs(text: &str) -> Result<GuestPath, String> {
    match text.split_once(':') {
        Some((folder, _)) => Err(format!(
            "write only {folder}: the size of all private files together is set with --disk"
        )),
        None => parse_place(text),
    }
}

/// A folder of the app with something else in its place.
fn parse_place(text: &str) -> Result<GuestPath, String> {
    match text.parse::<GuestPath>() {
        Ok(place) if place.is_root() => Err(
            "at `/` it would hide the app itself; give it a folder of its own, such as /data"
                .to_owned(),
        ),
        Ok(place) => Ok(place),
        Err(GuestPathError::Relative(_)) => Err(format!(
            "`{text}` is not an absolute path of the app, such as /data"
        )),
        Err(error) => Err(error.to_string()),
    }
}

impl FromStr for EnvArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.contains('\0') {
            return Err("write NAME=VALUE, or NAME for the value in this shell".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

/// Where an app may connect to: never to itself.
fn outbound(given: &str) -> Result<OutboundRule, String> {
    let rule: OutboundRule = given.parse().map_err(|error| format!("{error}"))?;
    match rule.is_loopback() {
        true => Err(format!(
            "`{given}` is the app itself: inside the sandbox the loopback is its own. This machine's is called host.docker.internal \
             there: let the app connect to that name, and give --allow-net host.docker.internal:PORT"
        )),
        false => Ok(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let volume = |text: &str| {
            let parsed = text.parse::<VolumeArg>();
            parsed.map(|v| (v.source, v.guest, v.read_only))
        };
        let path = |path: &str| VolumeSource::Path(path.into());
        let place = |text: &str| text.parse::<GuestPath>().expect("a path");
        assert_eq!(volume("./a:/b"), Ok((path("./a"), place("/b"), false)));
        assert_eq!(volume("/a:/b/:ro"), Ok((path("/a"), place("/b"), true)));
        assert_eq!(volume("/a:/b:Z,ro"), Ok((path("/a"), place("/b"), true)));
        assert_eq!(volume("/a:/b:z"), Ok((path("/a"), place("/b"), false)));
        let named = VolumeSource::Named("data".parse().expect("a name"));
        assert_eq!(volume("data:/b"), Ok((named, place("/b"), false)));
        for wrong in [
            "/a", "/a:b", "/a:/b:x", "da ta:/b", ".x:/b", "-x:/b", ":/b", "a:b:c:d", "./a:/",
            "./a:/..",
        ] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_loopback_is_no_place_to_connect_to() {
        for own in [
            "localhost:5432",
            "127.0.0.1",
            "127.0.0.0/8",
            "[::1]:80",
            "LOCALHOST",
        ] {
            let error = outbound(own).expect_err(own);
            assert!(error.contains("the app itself"), "{error}");
        }
        for other in [
            "localhost.example:5432",
            "192.0.2.7",
            "*",
            "0.0.0.0/0",
            "*.localhost",
        ] {
            assert!(outbound(other).is_ok(), "{other}");
        }
    }

    #[test]
    fn memory_in_which_python_does_not_start_is_refused() {
        for little in ["1", "1k", "23m"] {
            let error = parse_memory(little).expect_err(little);
            assert!(error.contains("at least 24m"), "{error}");
        }
        assert_eq!(parse_memory("24m"), Ok(LEAST_MEMORY));
        assert!(parse_memory("x").is_err());
    }

    #[test]
    fn what_would_hide_the_app_is_refused() {
        for text in ["/", "//", "/."] {
            let error = parse_tmpfs(text).expect_err(text);
            assert!(error.contains("would hide the app"), "{error}");
        }
        let error = ":/a".parse::<VolumeArg>().expect_err("no host");
        assert!(error.contains("missing before `:/a`"), "{error}");
    }
}
