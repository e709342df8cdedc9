//! `--policy FILE`: grants written down, as the flags they stand for.

use crate::given_file;
use crate::grant_args::{GrantArgs, VolumeArg};
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::path::Path;

/// The flags that a file may set: those that grant or limit, by their long names.
const KEYS: [&str; 20] = [
    "allow-net",
    "cpu-time",
    "cpus",
    "disk",
    "env",
    "env-file",
    "fuel",
    "max-files",
    "max-sockets",
    "memory",
    "network",
    "output-limit",
    "output-rate",
    "pids-limit",
    "publish",
    "read-only",
    "timeout",
    "tmpfs",
    "volume",
    "wall",
];

/// A command line with the grants of files put before its own, `given` ones, which so win.
pub fn expanded(command_line: &[OsString], given: &GrantArgs) -> anyhow::Result<Vec<OsString>> {
    let (front, rest) = command_line.split_at(command_line.len().min(2));
    let mut all = front.to_vec();
    for file in &given.policy {
        all.extend(words(file, given)?.into_iter().map(OsString::from));
    }
    all.extend_from_slice(rest);
    Ok(all)
}

/// The words that a file stands for.
fn words(path: &Path, given: &GrantArgs) -> anyhow::Result<Vec<String>> {
    let text = given_file::text("--policy", path)?;
    let file: toml::Table = text
        .parse()
        .with_context(|| format!("`{}` is not TOML", path.display()))?;
    let Some(policy) = file.get("policy").and_then(toml::Value::as_table) else {
        bail!("`{}` has no table [policy]", path.display());
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut words = Vec::new();
    for (key, value) in policy {
        if !KEYS.contains(&key.as_str()) {
            bail!(
                "`{}`: `{key}` is not one of {}",
                path.display(),
                KEYS.join(", ")
            );
        }
        let values = match value {
            toml::Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                toml::Value::Boolean(true) => words.push(format!("--{key}")),
                toml::Value::Boolean(false) => {}
                toml::Value::String(text) if is_replaced(key, text, given) => {}
                toml::Value::String(text) => {
                    words.push(format!("--{key}={}", below(folder, key, text)));
                }
                toml::Value::Integer(number) => words.push(format!("--{key}={number}")),
                toml::Value::Float(number) => words.push(format!("--{key}={number}")),
                _ => bail!(
                    "`{}`: `{key}` must be a text, a number, true, false or a list of them",
                    path.display()
                ),
            }
        }
    }
    Ok(words)
}

/// Has a flag something else for the same place?
fn is_replaced(key: &str, text: &str, given: &GrantArgs) -> bool {
    let place = match key {
        "volume" => text.parse().ok().map(|volume: VolumeArg| volume.guest),
        "tmpfs" => text.parse().ok(),
        _ => None,
    };
    place.is_some_and(|place| given.mounts_at(&place))
}

/// Relative paths in a file are relative to it, wherever it is used from.
fn below(folder: &Path, key: &str, text: &str) -> String {
    let relative = match key {
        "volume" => text.starts_with("./") || text.starts_with("../") || text.starts_with(".:"),
        "env-file" => !text.starts_with('/'),
        _ => false,
    };
    match relative && folder != Path::new("") {
        true => format!("{}/{text}", folder.display()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::args::Verb;
    use clap::Parser as _;

    /// The grants of a command line.
    fn given(flags: &[&str]) -> GrantArgs {
        let line = ["pywasm", "run"].iter().chain(flags).chain(&["app.pkg"]);
        match Cli::try_parse_from(line).expect("a run").command {
            Verb::Run(run) => run.grants,
            other => panic!("{other:?} is no run"),
        }
    }

    fn flags(text: &str) -> anyhow::Result<Vec<String>> {
        flags_beside(text, &[])
    }

    fn flags_beside(text: &str, others: &[&str]) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("pywasm.toml");
        std::fs::write(&path, text)?;
        let at = folder.path().display().to_string();
        Ok(words(&path, &given(others))?
            .iter()
            .map(|word| word.replace(&at, "AT"))
            .collect())
    }

    #[test]
    fn a_file_stands_for_flags() {
        let text = "
            [policy]
            publish = ['8080:5000', '53:53/udp']
            volume = ['./data:/data:ro', '/srv:/srv']
            env-file = 'app.env'
            cpus = 0.5
            pids-limit = 10
            read-only = true
            [needs]
            ports = ['5000']
        ";
        let mut flags = flags(text).expect("a policy");
        flags.sort();
        assert_eq!(
            flags,
            [
                "--cpus=0.5",
                "--env-file=AT/app.env",
                "--pids-limit=10",
                "--publish=53:53/udp",
                "--publish=8080:5000",
                "--read-only",
                "--volume=/srv:/srv",
                "--volume=AT/./data:/data:ro",
            ]
        );
    }

    #[test]
    fn a_flag_takes_the_place_of_what_the_file_mounts_there() {
        let text = "[policy]\nvolume = ['/a:/data', '/b:/more']\ntmpfs = '/cache'";
        let flags = flags_beside(text, &["-v", "/c:/data/", "-v", "/d:/cache"]);
        assert_eq!(flags.expect("a policy"), ["--volume=/b:/more"]);
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for wrong in [
            "",
            "[needs]",
            "[policy]\nentrypoint = 'x'",
            "[policy]\npolicy = 'other.toml'",
            "[policy]\nenv = [['a']]",
            "[policy",
        ] {
            assert!(flags(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        /// Text of any kind: words that set what a policy may set and nothing else, or an error.
        #[test]
        fn text_of_any_kind(lines in proptest::collection::vec(
            r#"(\[policy\]|\[[a-z.]{0,8}\]|(publish|volume|env|allow-net|cpus|memory|timeout|wall|network|read-only|privileged|"-x") ?= ?(\[.{0,12}\]|"[^"\\]{0,16}"|'[^']{0,16}'|-?[0-9.e+-]{1,6}|true|false|nan|1979-05-27|.{0,8}))"#,
            0..8,
        )) {
            if let Ok(words) = flags(&format!("[policy]\n{}", lines.join("\n"))) {
                for word in &words {
                    let name = word.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or(rest));
                    proptest::prop_assert!(name.is_some_and(|name| KEYS.contains(&name)), "{}", word);
                }
                let line = ["pywasm", "run"].map(str::to_owned).into_iter().chain(words);
                let _ = Cli::try_parse_from(line.chain(["app.pkg".to_owned()]));
            }
        }
    }
}
