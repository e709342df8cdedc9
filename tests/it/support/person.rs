//! A person at a machine of their own: a store, credentials, a folder to work in.

use super::{Ended, project, pywasm, run};
use pywasm_store::Store;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub struct Person(TempDir);

impl Person {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    /// Their working folder, which holds all that is theirs.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// What is kept by their name, behind the command's back.
    pub fn store(&self) -> Store {
        Store::open(&self.path().join("store")).expect("a store")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = pywasm(args);
        command
            .env("PYWASM_DATA", self.path())
            .env("DOCKER_CONFIG", self.path().join("docker"))
            .current_dir(self.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        run(self.command(args))
    }

    /// Standard output of a command that must work.
    pub fn says(&self, args: &[&str]) -> String {
        let Ended {
            code,
            stdout,
            stderr,
        } = self.run(args);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        stdout
    }

    /// Standard error of a command that must not.
    pub fn fails(&self, args: &[&str]) -> String {
        let Ended { code, stderr, .. } = self.run(args);
        assert_eq!(code, Some(125), "{args:?}");
        stderr
    }

    pub fn login(&self, host: &str, password: &str) -> Ended {
        Self::log_in(self.command(&["login", host]), password)
    }

    /// The same by a command of the test's making.
    pub fn log_in(mut command: Command, password: &str) -> Ended {
        let mut child = command
            .args(["-u", "me", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "{password}").expect("written");
        drop(stdin);
        super::ended(child.wait_with_output().expect("our child"))
    }

    /// Packs an app that prints `text`.
    pub fn pack(&self, name: &str, text: &str) {
        let app = project(&[("app.py", &format!("print({text:?})"))]);
        let folder = app.path().display().to_string();
        self.says(&["pack", "-q", "--no-snapshot", "-t", name, &folder]);
    }

    /// The digest of the only package they have.
    pub fn digest(&self) -> String {
        self.says(&["images", "-q"]).trim().to_owned()
    }
}
