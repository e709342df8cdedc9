//! Credentials: from addresses and from `.netrc`, given only to the host they are for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use url::Url;

/// Who we are, by host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// By `host:port` as in the address.
    addresses: BTreeMap<String, Login>,
    netrc: Vec<(Option<String>, Login)>,
}

#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

/// Passwords must not reach a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}, ***)", self.user)
    }
}

impl Credentials {
    /// Takes user and password out of an address, so that no message can show them.
    pub(crate) fn strip(&mut self, url: &mut Url) {
        if url.username().is_empty() && url.password().is_none() {
            return;
        }
        let login = Login {
            user: decode(url.username()),
            password: decode(url.password().unwrap_or_default()),
        };
        // Both fail only for addresses without a host, which have no credentials either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        self.addresses.insert(place(url), login);
    }

    /// Asks the program `keyring` for passwords that an address left out: `https://USER@HOST/…`. It is asked
    /// for the address, then for the host, as pip and uv do it.
    pub(crate) fn ask_keyring(&mut self, url: &Url, program: &str) -> std::io::Result<()> {
        let Some(login) = self.addresses.get_mut(&place(url)) else {
            return Ok(());
        };
        if login.user.is_empty() || !login.password.is_empty() {
            return Ok(());
        }
        for service in [url.as_str(), url.host_str().unwrap_or_default()] {
            let output = Command::new(program)
                .args(["get", service, &login.user])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()?;
            // It ends with an error where it has none.
            let password = String::from_utf8_lossy(&output.stdout);
            let password = password.trim_end_matches(['\r', '\n']);
            if output.status.success() && !password.is_empty() {
                password.clone_into(&mut login.password);
                break;
            }
        }
        Ok(())
    }

    /// Reads a `.netrc`; one that is not there or not readable counts as empty.
    pub(crate) fn read_netrc(&mut self, path: &Path) {
        if let Ok(text) = std::fs::read_to_string(path) {
            self.netrc = parse_netrc(&text);
        }
    }

    /// The value of the `Authorization` header for an address.
    pub(crate) fn header(&self, url: &Url) -> Option<String> {
        let host = url.host_str()?;
        let by_netrc = || {
            let entry = |machine: Option<&str>| {
                self.netrc
                    .iter()
                    .find(|(name, _)| name.as_deref() == machine)
            };
            entry(Some(host))
                .or_else(|| entry(None))
                .map(|(_, login)| login)
        };
        let Login { user, password } = self.addresses.get(&place(url)).or_else(by_netrc)?;
        Some(format!(
            "Basic {}",
            base64(format!("{user}:{password}").as_bytes())
        ))
    }
}

fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// Undoes percent-encoding.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `machine NAME login USER password PASSWORD`, in any lines; `default` is for every other host.
fn parse_netrc(text: &str) -> Vec<(Option<String>, Login)> {
    let mut entries: Vec<(Option<String>, Login)> = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        // A macro's lines end with an empty one.
        in_macro &= !line.trim().is_empty();
        if in_macro || line.trim_start().starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            let empty = || Login {
                user: String::new(),
                password: String::new(),
            };
            match word {
                "machine" => entries.push((words.next().map(str::to_owned), empty())),
                "default" => entries.push((None, empty())),
                "login" | "user" | "password" | "account" => {
                    let value = words.next().unwrap_or_default().to_owned();
                    if let Some((_, login)) = entries.last_mut() {
                        match word {
                            "password" => login.password = value,
                            "account" => {}
                            _ => login.user = value,
                        }
                    }
                }
                "macdef" => {
                    in_macro = true;
                    break;
                }
                _ => {}
            }
        }
    }
    entries
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("an address")
    }

    #[test]
    fn credentials_go_to_their_host_only() {
        let mut credentials = Credentials::default();
        let mut index = url("https://me:p%40ss@index.example/simple/");
        credentials.strip(&mut index);
        assert_eq!(index.as_str(), "https://index.example/simple/");
        let header = credentials.header(&url("https://index.example/files/x.whl"));
        assert_eq!(header, Some(format!("Basic {}", base64(b"me:p@ss"))));
        for other in [
            "https://other.example/",
            "https://index.example:444/",
            "http://index.example/",
        ] {
            assert_eq!(credentials.header(&url(other)), None, "{other}");
        }
        assert!(!format!("{credentials:?}").contains("p@ss"));
    }

    #[test]
    fn a_keyring_is_asked_for_the_password_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("keyring");
        std::fs::write(
            &program,
            "#!/bin/sh\n[ \"$*\" = \"get index.example me\" ] && echo found\n",
        )
        .expect("a program");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let program = program.to_str().expect("UTF-8");
        let asked = |address: &str, program: &str| {
            let mut credentials = Credentials::default();
            let mut index = url(address);
            credentials.strip(&mut index);
            credentials.ask_keyring(&index, program)?;
            std::io::Result::Ok(credentials.header(&index))
        };
        let basic = |login: &str| Some(format!("Basic {}", base64(login.as_bytes())));
        let found = asked("https://me@index.example/simple/", program).expect("asked");
        assert_eq!(found, basic("me:found"));
        let given = asked("https://me:own@index.example/", "/no/such").expect("not asked");
        assert_eq!(given, basic("me:own"));
        assert_eq!(
            asked("https://index.example/", "/no/such").expect("not asked"),
            None
        );
        let unknown = asked("https://you@index.example/", program).expect("asked");
        assert_eq!(unknown, basic("you:"));
        assert!(asked("https://me@index.example/", "/no/such").is_err());
    }

    #[test]
    fn netrc() {
        let mut credentials = Credentials {
            netrc: parse_netrc(
                "# mine\nmachine a.example login me\n  password x\nmacdef init\nmachine evil login y\n\nmachine b.example user you password z",
            ),
            ..Credentials::default()
        };
        let header = |credentials: &Credentials, text: &str| credentials.header(&url(text));
        assert_eq!(
            header(&credentials, "https://a.example/"),
            Some(format!("Basic {}", base64(b"me:x")))
        );
        assert_eq!(
            header(&credentials, "https://b.example/"),
            Some(format!("Basic {}", base64(b"you:z")))
        );
        assert_eq!(header(&credentials, "https://evil/"), None);
        credentials.netrc = parse_netrc("default login any password w");
        assert_eq!(
            header(&credentials, "https://c.example/"),
            Some(format!("Basic {}", base64(b"any:w")))
        );
    }
}
