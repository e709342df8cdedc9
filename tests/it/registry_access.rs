//! How a registry is reached and who one is to it: TLS with an authority of one's own, and a credential helper.

use crate::server::{PASSWORD, Registry};
use crate::support::{Ended, Person, project};
use crate::tls::authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// TLS in front of a registry; gives the port. Ends with the test's process.
fn tls_before(registry: &Registry, folder: &Path) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).expect("ours");
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("ours");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let behind = registry.host();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, behind) = (config.clone(), behind.clone());
            // A client that goes away is part of the game.
            std::thread::spawn(move || bridge(config, stream, &behind));
        }
    });
    port
}

fn bridge(config: Arc<ServerConfig>, mut outside: TcpStream, behind: &str) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut outside)?;
    }
    let mut inside = TcpStream::connect(behind)?;
    // Each is asked in turn, so that one thread can have both ends.
    let turn = Some(Duration::from_millis(2));
    outside.set_read_timeout(turn)?;
    inside.set_read_timeout(turn)?;
    let mut outside = StreamOwned::new(connection, outside);
    loop {
        let ended = pass(&mut outside, &mut inside)?;
        if pass(&mut inside, &mut outside)? || ended {
            outside.conn.send_close_notify();
            return outside.flush();
        }
    }
}

/// Passes on what has come; is it the end?
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut bytes = [0; 1 << 14];
    match from.read(&mut bytes) {
        Ok(0) => Ok(true),
        Ok(count) => {
            to.write_all(&bytes[..count])?;
            to.flush().map(|()| false)
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[test]
fn a_registry_behind_tls_is_trusted_by_its_authority_alone() {
    let registry = Registry::start();
    let folder = authority("");
    let port = tls_before(&registry, folder.path());
    let name = format!("localhost:{port}/me/app:1");
    let author = Person::new();
    author.pack(&name, "by TLS");
    // Without the authority nothing is sent to it.
    let stderr = author.fails(&["push", "--tls", &name]);
    assert!(
        stderr.contains("certificate") && stderr.contains("SSL_CERT_FILE"),
        "{stderr}"
    );
    assert!(registry.seen().is_empty());
    let trusting = |args: &[&str]| {
        let mut command = author.command(args);
        command.env("SSL_CERT_FILE", folder.path().join("ca.pem"));
        crate::support::run(command)
    };
    let Ended { code, stderr, .. } = trusting(&["push", "--tls", &name]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(registry.is_sound() && registry.manifest("me/app", "1").is_some());
    author.says(&["rmi", "-f", &name]);
    let Ended { code, stderr, .. } = trusting(&["pull", "--tls", &name]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(author.says(&["run", "--pull", "never", &name]), "by TLS\n");
    // The certificate is of localhost, not of the address.
    let other = format!("127.0.0.1:{port}/me/app:1");
    let Ended { code, stderr, .. } = trusting(&["pull", "--tls", &other]);
    assert!(
        code == Some(125) && stderr.contains("certificate"),
        "{stderr}"
    );
}

/// A password that was to travel by TLS does not go to a token server without it.
#[test]
fn a_registry_behind_tls_cannot_have_the_password_sent_in_the_clear() {
    let registry = Registry::start();
    registry.demand_token();
    let folder = authority("");
    let port = tls_before(&registry, folder.path());
    let person = Person::new();
    let mut command = person.command(&["login", "--tls", &format!("localhost:{port}")]);
    command.env("SSL_CERT_FILE", folder.path().join("ca.pem"));
    // The realm that this registry names begins with http://.
    let Ended { code, stderr, .. } = Person::log_in(command, PASSWORD);
    assert!(
        code == Some(125) && stderr.contains("everybody can read along"),
        "{stderr}"
    );
    let seen = registry.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| seen.authorization.is_none()),
        "{seen:?}"
    );
}

/// A helper as docker's: one JSON file of credentials.
const HELPER: &str = r#"#!/usr/bin/env python3
import json, os, sys
place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kept.json")
kept = json.load(open(place)) if os.path.exists(place) else {}
verb, said = sys.argv[1], sys.stdin.read()
if verb == "store":
    entry = json.loads(said)
    kept[entry["ServerURL"]] = entry
elif verb == "erase":
    kept.pop(said.strip(), None)
elif said.strip() in kept:
    print(json.dumps(kept[said.strip()]))
else:
    print("credentials not found in native keychain")
    sys.exit(1)
json.dump(kept, open(place, "w"))
"#;

#[test]
fn a_credential_helper_keeps_the_password_and_gives_it_back() {
    let registry = Registry::start();
    registry.demand_token();
    let host = registry.host();
    let tools = project(&[("docker-credential-drawer", HELPER)]);
    let helper = tools.path().join("docker-credential-drawer");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let person = Person::new();
    let config = person.path().join("docker/config.json");
    std::fs::create_dir(person.path().join("docker")).expect("a folder");
    std::fs::write(&config, r#"{"credsStore": "drawer"}"#).expect("written");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tools.path().display());
    let command = |args: &[&str]| {
        let mut command = person.command(args);
        command.env("PATH", &path);
        command
    };
    let Ended {
        code,
        stdout,
        stderr,
    } = Person::log_in(command(&["login", &host]), PASSWORD);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("logged in"), "{stdout}");
    assert!(
        stderr.contains("kept by docker-credential-drawer"),
        "{stderr}"
    );
    let kept = std::fs::read_to_string(tools.path().join("kept.json")).expect("kept");
    assert!(kept.contains(PASSWORD), "{kept}");
    let file = std::fs::read_to_string(&config).expect("kept");
    assert!(
        !file.contains("auth\"") && !file.contains(PASSWORD),
        "{file}"
    );
    let name = format!("{host}/me/app:1");
    person.pack(&name, "helped");
    let run = |args: &[&str]| crate::support::run(command(args));
    assert_eq!(run(&["push", "-q", &name]).code, Some(0));
    person.says(&["rmi", "-f", &name]);
    assert_eq!(run(&["run", &name]).stdout, "helped\n");
    let said = run(&["logout", &host]);
    assert!(said.stdout.contains("logged out"), "{}", said.stdout);
    let kept = std::fs::read_to_string(tools.path().join("kept.json")).expect("kept");
    assert_eq!(kept, "{}");
    let Ended { code, stderr, .. } = run(&["pull", &name]);
    assert!(
        code == Some(125) && stderr.contains("log in with"),
        "{stderr}"
    );
    // A helper that is not there is named, and nothing is guessed in its place.
    std::fs::write(&config, r#"{"credsStore": "nobody"}"#).expect("written");
    let stderr = run(&["pull", &name]).stderr;
    assert!(stderr.contains("docker-credential-nobody"), "{stderr}");
}
