//! How much of the machine one instance may use.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Limits of one instance. Every field is required; [`Limits::default`] documents the defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Linear memory of the guest, in bytes. Default 1 GiB; WebAssembly's own ceiling is 4 GiB.
    /// Past it Python raises `MemoryError`.
    pub memory: u64,
    /// Wall-clock time from start to end. Default: none.
    pub wall: Option<Duration>,
    /// Processor time. Default: none. Needs [`Interruption::Checked`](crate::Interruption::Checked).
    pub cpu_time: Option<Duration>,
    /// Processors, or a share of one, that all processes of the app use together. Default: none. Needs
    /// [`Interruption::Checked`](crate::Interruption::Checked).
    pub cpus: Option<CpuShare>,
    /// WebAssembly instructions, about: the same program with the same input ends at the same one.
    /// Default: none. Needs [`Interruption::Metered`](crate::Interruption::Metered).
    pub fuel: Option<u64>,
    /// Threads alive at once, the main one included. Default 1024. Past it `threading` raises
    /// "can't start new thread".
    pub threads: u32,
    /// Sockets open at once. Default 4096. Past it a socket call fails with EMFILE.
    pub sockets: u32,
    /// Files and folders open at once. Default 4096. Past it opening one fails with ENOMEM.
    pub files: u32,
    /// What the private files may take on the host's disk, in bytes, 4 KiB for each name included.
    /// Default 1 GiB. Past it writing fails with ENOSPC.
    pub disk: u64,
    /// Bytes written to standard output and standard error together. Default: none, as nothing of them
    /// is kept here.
    pub output: Option<u64>,
    /// Bytes a second written to standard output and standard error together. Default: none. Past it
    /// the guest waits, as it does for a slow reader.
    pub output_rate: Option<NonZeroU64>,
}

impl Limits {
    /// The defaults, as documented at each field.
    pub const DEFAULT: Self = Self {
        memory: 1 << 30,
        wall: None,
        cpu_time: None,
        cpus: None,
        fuel: None,
        threads: 1024,
        sockets: 4096,
        files: 4096,
        disk: 1 << 30,
        output: None,
        output_rate: None,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One limit a line, by the name of its flag; those that are not set are left out.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory,
            wall,
            cpu_time,
            cpus,
            fuel,
            threads,
            sockets,
            files,
            disk,
            output,
            output_rate,
        } = self;
        let seconds = |time: &Option<Duration>| time.map(|time| format!("{}s", time.as_secs_f64()));
        let lines = [
            ("memory", Some(bytes(*memory))),
            ("timeout", seconds(wall)),
            ("cpu-time", seconds(cpu_time)),
            ("cpus", cpus.map(|share| share.get().to_string())),
            ("fuel", fuel.map(|fuel| fuel.to_string())),
            ("pids-limit", Some(threads.to_string())),
            ("max-sockets", Some(sockets.to_string())),
            ("max-files", Some(files.to_string())),
            ("disk", Some(bytes(*disk))),
            ("output-limit", output.map(bytes)),
            ("output-rate", output_rate.map(|rate| bytes(rate.get()))),
        ];
        for (name, value) in lines {
            if let Some(value) = value {
                writeln!(f, "limit     {name} {value}")?;
            }
        }
        Ok(())
    }
}

/// As it is written after a flag: in the largest unit that keeps it exact.
fn bytes(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        30.. if bytes > 0 => format!("{}g", bytes >> 30),
        20.. if bytes > 0 => format!("{}m", bytes >> 20),
        10.. if bytes > 0 => format!("{}k", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// A share of one processor, more than 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuShare(f64);

/// The text is no share.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a number of processors; write for example 0.5 (0.01 is the least)")]
pub struct ParseCpuShareError(String);

impl CpuShare {
    /// The share, from 0.01. One and more is no limit: an instance uses one processor at most.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for CpuShare {
    type Err = ParseCpuShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = text.parse::<f64>().ok();
        // Less would have it sleep for seconds at a time, deaf to everything.
        let share = share.filter(|share| (0.01..=1024.0).contains(share));
        share
            .map(Self)
            .ok_or_else(|| ParseCpuShareError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_they_are_written() {
        let shown = Limits::default().to_string();
        for line in ["limit     memory 1g", "limit     pids-limit 1024"] {
            assert!(shown.lines().any(|l| l == line), "{shown}");
        }
        let exact = [1536 << 20, 64 << 20, 1025, 0].map(bytes);
        assert_eq!(exact, ["1536m", "64m", "1025", "0"]);
    }

    #[test]
    fn shares() {
        assert_eq!("0.5".parse(), Ok(CpuShare(0.5)));
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "half"] {
            assert!(wrong.parse::<CpuShare>().is_err(), "{wrong}");
        }
    }
}
