//! Who this machine is to registries: docker's configuration file and its helper programs.

use crate::RegistryHost;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pywasm_format::json_problem;
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::NamedTempFile;
use thiserror::Error;

/// A password or a token: it has no `Display`, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to answer when a registry asks who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With a name and a password.
    Password {
        /// The name.
        user: String,
        /// The password, or a token in its place.
        password: Secret,
    },
    /// With a token that the token server changes for others.
    IdentityToken(Secret),
}

impl Login {
    /// The value of an `Authorization` header, where there is one.
    pub(crate) fn basic(&self) -> Option<String> {
        match self {
            Self::Password { user, password } => Some(format!(
                "Basic {}",
                STANDARD.encode(format!("{user}:{}", password.expose()))
            )),
            Self::IdentityToken(_) => None,
        }
    }
}

/// Why credentials cannot be had or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file.
    #[error("{path} cannot be {what}: {reason}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// The system's error.
        reason: io::Error,
    },
    /// Its content.
    #[error("{path} is not docker's configuration ({reason}); mend it or move it away", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A helper program.
    #[error("{path} names the credential helper `{program}`, which {reason}", path = path.display())]
    Helper {
        /// The file that names it.
        path: PathBuf,
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
}

/// Where credentials were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the file itself, which only its owner can read.
    InFile(PathBuf),
    /// With a helper program.
    WithHelper(String),
}

/// Docker's `config.json`: `auths`, `credHelpers`, `credsStore`. Everything else in it is left as it is.
#[derive(Debug, Clone)]
pub struct CredentialStore {
    path: PathBuf,
}

/// What a helper calls an identity token in place of a user's name.
const TOKEN_USER: &str = "<token>";
/// What helpers say of servers they do not know.
const NOT_FOUND: &str = "credentials not found";

impl CredentialStore {
    /// The file `config.json` in docker's configuration folder; it need not be there.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("config.json"),
        }
    }

    /// The credentials for a registry, if there are any.
    pub fn get(&self, host: &RegistryHost) -> Result<Option<Login>, CredentialsError> {
        let config = self.read()?;
        if let Some(program) = helper(&config, host) {
            return self.ask_helper(&program, host);
        }
        let auths = config.get("auths").and_then(Value::as_object);
        let same = |written: &str| {
            let bare = written
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            written == host.key() || bare.trim_end_matches('/') == host.key()
        };
        let entry = auths.and_then(|auths| {
            let mut entries = auths.iter();
            entries.find(|(name, _)| same(name)).map(|(_, entry)| entry)
        });
        let Some(entry) = entry else { return Ok(None) };
        let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Login::IdentityToken(Secret(token.to_owned()))));
        }
        let Some(auth) = text("auth") else {
            return Ok(None);
        };
        let plain = STANDARD
            .decode(auth)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        match plain.as_deref().and_then(|plain| plain.split_once(':')) {
            Some((user, password)) => Ok(Some(Login::Password {
                user: user.to_owned(),
                password: Secret(password.trim_end_matches('\0').to_owned()),
            })),
            None => Err(self.malformed(format!(
                "the `auth` of {host} is not USER:PASSWORD in base64"
            ))),
        }
    }

    /// Keeps them: with the helper program that the file names, else in the file.
    pub fn put(
        &self,
        host: &RegistryHost,
        user: &str,
        password: &Secret,
    ) -> Result<Kept, CredentialsError> {
        let mut config = self.read()?;
        if let Some(program) = helper(&config, host) {
            let input = json!({
                "ServerURL": host.key(), "Username": user, "Secret": password.expose(),
            });
            self.run_helper(&program, "store", &input.to_string())?;
            return Ok(Kept::WithHelper(program));
        }
        let auth = STANDARD.encode(format!("{user}:{}", password.expose()));
        self.auths(&mut config)?
            .insert(host.key().to_owned(), json!({ "auth": auth }));
        self.write(&config)?;
        Ok(Kept::InFile(self.path.clone()))
    }

    /// Forgets them. Were there any?
    pub fn remove(&self, host: &RegistryHost) -> Result<bool, CredentialsError> {
        let mut config = self.read()?;
        if let Some(program) = helper(&config, host) {
            let known = self.ask_helper(&program, host)?.is_some();
            if known {
                self.run_helper(&program, "erase", host.key())?;
            }
            return Ok(known);
        }
        let known = self.auths(&mut config)?.remove(host.key()).is_some();
        if known {
            self.write(&config)?;
        }
        Ok(known)
    }

    fn read(&self) -> Result<Map<String, Value>, CredentialsError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| self.malformed(json_problem(&bytes, &error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(reason) => Err(self.io("read", reason)),
        }
    }

    fn auths<'c>(
        &self,
        config: &'c mut Map<String, Value>,
    ) -> Result<&'c mut Map<String, Value>, CredentialsError> {
        config
            .entry("auths")
            .or_insert_with(|| json!({}))
            .as_object_mut()
            .ok_or_else(|| self.malformed("`auths` is no object"))
    }

    /// Readable by its owner alone from the first moment on.
    fn write(&self, config: &Map<String, Value>) -> Result<(), CredentialsError> {
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let mut file = NamedTempFile::new_in(folder)?;
            file.as_file()
                .set_permissions(std::fs::Permissions::from_mode(0o600))?;
            serde_json::to_writer_pretty(&mut file, config)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|error| error.error)?;
            io::Result::Ok(())
        };
        write().map_err(|reason| self.io("written", reason))
    }

    fn ask_helper(
        &self,
        program: &str,
        host: &RegistryHost,
    ) -> Result<Option<Login>, CredentialsError> {
        let said = match self.run_helper(program, "get", host.key()) {
            Ok(said) => said,
            Err(CredentialsError::Helper { reason, .. }) if reason.contains(NOT_FOUND) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let answer: Value = serde_json::from_slice(&said).unwrap_or_default();
        let (Some(user), Some(secret)) = (answer["Username"].as_str(), answer["Secret"].as_str())
        else {
            return Err(self.helper(program, "answers without Username and Secret"));
        };
        let secret = Secret(secret.to_owned());
        Ok(Some(match user {
            TOKEN_USER => Login::IdentityToken(secret),
            user => Login::Password {
                user: user.to_owned(),
                password: secret,
            },
        }))
    }

    fn run_helper(
        &self,
        program: &str,
        verb: &str,
        input: &str,
    ) -> Result<Vec<u8>, CredentialsError> {
        let run = || {
            let mut child = Command::new(program)
                .arg(verb)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes())?;
            }
            child.wait_with_output()
        };
        let output =
            run().map_err(|error| self.helper(program, format!("cannot be run: {error}")))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        // Helpers tell errors on standard output; a secret is there only in case of success.
        let said = String::from_utf8_lossy(&output.stdout);
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        Err(self.helper(program, format!("fails ({}): {said}", output.status)))
    }

    fn helper(&self, program: &str, reason: impl ToString) -> CredentialsError {
        CredentialsError::Helper {
            path: self.path.clone(),
            program: program.to_owned(),
            reason: reason.to_string(),
        }
    }

    fn io(&self, what: &'static str, reason: io::Error) -> CredentialsError {
        CredentialsError::Io {
            path: self.path.clone(),
            what,
            reason,
        }
    }

    fn malformed(&self, reason: impl ToString) -> CredentialsError {
        CredentialsError::Malformed {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The helper program for a registry: one of its own, else the one for all.
fn helper(config: &Map<String, Value>, host: &RegistryHost) -> Option<String> {
    let own = config
        .get("credHelpers")
        .and_then(|helpers| helpers.get(host.key()));
    let name = own.or_else(|| config.get("credsStore"))?.as_str()?;
    // A name, not a path: the file may be anybody's idea of a program to start.
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    plain.then(|| format!("docker-credential-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RegistryHost {
        text.parse().expect("a host")
    }

    fn store(config: &str) -> (tempfile::TempDir, CredentialStore) {
        let folder = tempfile::tempdir().expect("a folder");
        if !config.is_empty() {
            std::fs::write(folder.path().join("config.json"), config).expect("a file");
        }
        let store = CredentialStore::in_folder(folder.path());
        (folder, store)
    }

    #[test]
    fn what_is_put_comes_back_and_nobody_else_reads_it() {
        let (folder, store) =
            store(r#"{"psFormat": "x", "auths": {"other.example": {"auth": "YTpi"}}}"#);
        let secret = Secret::new("p:w".to_owned());
        store.put(&host("ghcr.io"), "me", &secret).expect("kept");
        let login = Login::Password {
            user: "me".to_owned(),
            password: secret,
        };
        assert_eq!(
            store.get(&host("ghcr.io")).expect("read"),
            Some(login.clone())
        );
        assert!(!format!("{login:?}").contains("p:w"));
        let path = folder.path().join("config.json");
        let mode = std::fs::metadata(&path)
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).expect("the file");
        assert!(text.contains("psFormat") && text.contains("other.example"));
        assert!(store.remove(&host("ghcr.io")).expect("removed"));
        assert!(!store.remove(&host("ghcr.io")).expect("removed"));
        assert_eq!(store.get(&host("ghcr.io")).expect("read"), None);
        assert!(store.get(&host("other.example")).expect("read").is_some());
    }

    #[test]
    fn other_spellings_and_tokens_are_understood() {
        let (_folder, store) = store(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}, "https://a.example/": {"identitytoken": "t"}, "b.example": {}, "c.example": {"auth": "!"}}}"#,
        );
        assert!(store.get(&host("docker.io")).expect("read").is_some());
        assert_eq!(
            store.get(&host("a.example")).expect("read"),
            Some(Login::IdentityToken(Secret("t".to_owned())))
        );
        assert_eq!(store.get(&host("b.example")).expect("read"), None);
        assert!(store.get(&host("c.example")).is_err());
    }

    #[test]
    fn a_helper_is_a_name_not_a_path() {
        let config = |name: &str| {
            serde_json::from_value::<Map<String, Value>>(json!({ "credsStore": name }))
                .expect("JSON")
        };
        assert_eq!(
            helper(&config("pass"), &host("a.example")),
            Some("docker-credential-pass".to_owned())
        );
        assert_eq!(helper(&config("/../../bin/evil"), &host("a.example")), None);
    }
}
