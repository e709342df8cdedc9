//! pip's configuration files.

use super::{Machine, SettingsError};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The settings of all files, later files over earlier ones, `[install]` over `[global]`.
pub(super) fn read(machine: &Machine) -> Result<BTreeMap<String, String>, SettingsError> {
    let mut global = BTreeMap::new();
    let mut install = BTreeMap::new();
    for path in locations(machine) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(reason) => return Err(SettingsError::Io { path, reason }),
        };
        for (section, key, value) in parse(&text) {
            match section.as_str() {
                "global" => global.insert(key, value),
                "install" => install.insert(key, value),
                _ => None,
            };
        }
    }
    global.extend(install);
    Ok(global)
}

/// Where pip looks, in its order: the machine's, the person's, the environment's, the named one.
fn locations(machine: &Machine) -> Vec<PathBuf> {
    let get = |name: &str| machine.env.get(name).filter(|value| !value.is_empty());
    let named = get("PIP_CONFIG_FILE").map(PathBuf::from);
    // As with pip: naming the null device switches all files off.
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let mut paths = Vec::new();
    let shared = get("XDG_CONFIG_DIRS").map_or("/etc/xdg", String::as_str);
    paths.extend(
        shared
            .split(':')
            .map(|folder| Path::new(folder).join("pip/pip.conf")),
    );
    paths.push("/etc/pip.conf".into());
    if let Some(home) = &machine.home {
        paths.push(home.join(".pip/pip.conf"));
        let config = get("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        paths.push(config.join("pip/pip.conf"));
    }
    paths.extend(get("VIRTUAL_ENV").map(|folder| Path::new(folder).join("pip.conf")));
    paths.extend(named);
    paths
}

/// Section, key and value of every setting; indented lines go on with the value before.
fn parse(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut settings: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim().to_owned();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, _, value)) = settings.last_mut() {
                value.push('\n');
                value.push_str(trimmed);
            }
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let key = key.trim().to_ascii_lowercase().replace('_', "-");
            settings.push((section.clone(), key, value.trim().to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format() {
        let text = "# c\n[global]\nindex-url = https://a.example/simple\nextra_index_url:\n    https://b.example\n    https://c.example\n[install]\nno-index = true\n";
        let settings = parse(text);
        let shown: Vec<_> = settings
            .iter()
            .map(|(section, key, value)| format!("{section} {key}={value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "global index-url=https://a.example/simple",
                "global extra-index-url=\nhttps://b.example\nhttps://c.example",
                "install no-index=true",
            ]
        );
    }

    #[test]
    fn later_files_win_and_the_null_device_switches_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        write(
            "home/.config/pip/pip.conf",
            "[global]\nindex-url = home\ntimeout = 5\n",
        );
        let named = write("named.conf", "[install]\nindex-url = named\n");
        let mut machine = Machine {
            home: Some(dir.path().join("home")),
            env: BTreeMap::from([
                ("PIP_CONFIG_FILE".to_owned(), named),
                (
                    "XDG_CONFIG_DIRS".to_owned(),
                    dir.path().display().to_string(),
                ),
            ]),
            ..Machine::default()
        };
        let settings = read(&machine).expect("readable");
        assert_eq!(settings.get("index-url").map(String::as_str), Some("named"));
        assert_eq!(settings.get("timeout").map(String::as_str), Some("5"));
        machine
            .env
            .insert("PIP_CONFIG_FILE".to_owned(), "/dev/null".to_owned());
        assert!(read(&machine).expect("readable").is_empty());
    }
}
