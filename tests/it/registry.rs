//! Packages to registries and back, by the command.

use crate::server::{Fault, PASSWORD, Registry};
use crate::support::{Ended, Person, Running};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

#[test]
fn log_in_push_and_run_elsewhere() {
    let registry = Registry::start();
    registry.demand_token();
    let host = registry.host();
    let name = format!("{host}/me/app:1");
    let author = Person::new();
    author.pack(&name, "travelled");
    let stderr = author.fails(&["push", &name]);
    assert!(
        stderr.contains(&format!("log in with `pywasm login {host}`")),
        "{stderr}"
    );
    let Ended { code, stderr, .. } = author.login(&host, "guess");
    assert_eq!(code, Some(125));
    assert!(
        stderr.contains("does not accept the credentials"),
        "{stderr}"
    );
    assert!(!author.path().join("docker/config.json").exists());
    let Ended {
        code,
        stdout,
        stderr,
    } = author.login(&host, PASSWORD);
    assert_eq!(
        (code, stdout),
        (Some(0), format!("logged in to {host} as me\n")),
        "{stderr}"
    );
    let config = author.path().join("docker/config.json");
    let mode = std::fs::metadata(&config)
        .expect("kept")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = author.says(&["push", &name]);
    assert_eq!(said, format!("{name}  {}\n", author.digest()));
    // Another machine, which knows only the name.
    let reader = Person::new();
    assert_eq!(reader.login(&host, PASSWORD).code, Some(0));
    let stderr = reader.fails(&["run", "--pull", "never", &name]);
    assert!(stderr.contains("there is no package"), "{stderr}");
    assert_eq!(reader.says(&["run", &name]), "travelled\n");
    assert_eq!(reader.digest(), author.digest());
    let pinned = format!("{host}/me/app@{}", author.digest());
    assert_eq!(reader.says(&["run", &pinned]), "travelled\n");
    // The name moves on; who has it keeps it until asked otherwise.
    author.pack(&name, "newer");
    author.says(&["push", "-q", &name]);
    assert_eq!(reader.says(&["run", &name]), "travelled\n");
    assert_eq!(reader.says(&["run", "--pull", "always", &name]), "newer\n");
    assert_eq!(reader.says(&["run", &pinned]), "travelled\n");
    reader.says(&["logout", &host]);
    let stderr = reader.fails(&["pull", &name]);
    assert!(stderr.contains("log in with"), "{stderr}");
    assert!(
        !std::fs::read_to_string(reader.path().join("docker/config.json"))
            .expect("kept")
            .contains("auth\"")
    );
}

#[test]
fn names_without_a_registry_lead_to_none_and_passwords_are_not_arguments() {
    let person = Person::new();
    person.pack("app", "here");
    let stderr = person.fails(&["push", "app"]);
    assert!(
        stderr.contains("`pywasm tag app:latest HOST/app:latest`"),
        "{stderr}"
    );
    let stderr = person.fails(&["run", "aap"]);
    assert!(
        stderr.contains("there is no package `aap:latest` here"),
        "{stderr}"
    );
    let stderr = person.fails(&["login", "registry.example", "-u", "me", "-p", "hunter2"]);
    assert!(stderr.contains("--password-stdin"), "{stderr}");
    assert!(!stderr.contains("hunter2"));
}

#[test]
fn only_what_is_signed_by_a_trusted_key_starts() {
    let registry = Registry::start();
    let name = format!("{}/me/app:1", registry.host());
    let author = Person::new();
    author.pack(&name, "trusted");
    author.says(&["key", "mine"]);
    author.says(&["key", "other"]);
    let mode = |file: &str| {
        let file = std::fs::metadata(author.path().join(file)).expect("a key");
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode("mine.key"), 0o600);
    author.fails(&["key", "mine"]);
    let stderr = author.fails(&["run", "--require-signature", "mine.pub", &name]);
    assert!(stderr.contains("it is not signed"), "{stderr}");
    author.says(&["sign", "--key", "mine.key", &name]);
    author.says(&["push", &name]);
    // Elsewhere: the signature comes along with the package.
    let reader = Person::new();
    for file in ["mine.pub", "other.pub"] {
        std::fs::copy(author.path().join(file), reader.path().join(file)).expect("copied");
    }
    let trusting = |key: &str| ["run", "--require-signature", key, &name].map(str::to_owned);
    let run = |args: [String; 4]| reader.run(&args.each_ref().map(String::as_str));
    assert_eq!(run(trusting("mine.pub")).stdout, "trusted\n");
    let Ended {
        code,
        stdout,
        stderr,
    } = run(trusting("other.pub"));
    assert_eq!((code, stdout.as_str()), (Some(125), ""));
    assert!(
        stderr.contains("is by a key that is trusted here"),
        "{stderr}"
    );
    let said = reader.says(&["verify", "--key", "other.pub", "--key", "mine.pub", &name]);
    assert!(
        said.trim()
            .ends_with(&format!("is signed as {}/me/app", registry.host())),
        "{said}"
    );
    // A signature says nothing about the next package of that name.
    author.pack(&name, "another");
    author.says(&["push", &name]);
    let stderr = reader.fails(&[
        "run",
        "--pull",
        "always",
        "--require-signature",
        "mine.pub",
        &name,
    ]);
    assert!(stderr.contains("it is not signed"), "{stderr}");
    // Files have theirs beside them.
    author.says(&["save", &name, "-o", "app.pkg"]);
    author.says(&["sign", "--key", "other.key", "app.pkg"]);
    assert_eq!(
        author.says(&["run", "--require-signature", "other.pub", "app.pkg"]),
        "another\n"
    );
    author.fails(&["run", "--require-signature", "mine.pub", "app.pkg"]);
    // What removes the package removes what was said about it.
    reader.says(&["rmi", &name]);
    reader.says(&["system", "prune"]);
    let left = std::fs::read_dir(reader.path().join("store/signatures")).expect("a folder");
    assert_eq!(left.count(), 0);
}

#[test]
fn a_pull_that_is_killed_leaves_the_store_sound_and_goes_on() {
    let registry = Registry::start();
    let name = format!("{}/me/app:1", registry.host());
    let author = Person::new();
    author.pack(&name, "whole");
    author.says(&["push", "-q", &name]);
    let person = Person::new();
    // The first one also unpacks and compiles.
    person.says(&["pull", &name]);
    person.says(&["rmi", "-f", &name]);
    let started = Instant::now();
    person.says(&["pull", &name]);
    let length = started.elapsed();
    let store = person.store();
    let mut killed = 0;
    for round in 0_u32..60 {
        person.says(&["rmi", "-f", &name]);
        if round % 7 == 0 {
            person.says(&["system", "prune"]);
        }
        // Some of them with a connection that breaks, besides.
        if round % 3 == 0 {
            registry.rule("GET", "/blobs/", 1, Fault::Cut(1 << 20));
        }
        let mut child = person
            .command(&["pull", &name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        std::thread::sleep(length * (round * 37 % 101) / 101);
        child.kill().expect("our child");
        killed += u32::from(child.wait().expect("our child").code().is_none());
        store
            .verify()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert!(killed > 30, "{killed} were killed in time");
    assert_eq!(person.says(&["run", &name]), "whole\n");
}

/// The registry and the tool that everybody has. Debian: `docker-registry` and `skopeo`, and `openssl`.
#[test]
#[ignore = "needs docker-registry, skopeo and openssl"]
fn a_real_registry_and_another_tool_understand_it() {
    let folder = TempDir::new().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let host = format!("127.0.0.1:{port}");
    // `correct horse` for `me`, by bcrypt.
    let passwords = folder.path().join("htpasswd");
    std::fs::write(
        &passwords,
        "me:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n",
    )
    .expect("a file");
    let config = folder.path().join("config.yml");
    std::fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: {host}}}\nauth:\n  htpasswd: {{realm: test, path: {}}}\n",
            folder.path().join("data").display(),
            passwords.display(),
        ),
    )
    .expect("a file");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    let mut server = Running::start(command);
    server.line("listening on");
    let name = format!("{host}/me/app:1");
    let author = Person::new();
    author.pack(&name, "understood");
    assert_eq!(author.login(&host, PASSWORD).code, Some(0));
    author.says(&["key", "mine"]);
    author.says(&["sign", "--key", "mine.key", &name]);
    author.says(&["push", &name]);
    let skopeo = |args: &[&str]| {
        let output = Command::new("skopeo").args(args).output().expect("skopeo");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        output.stdout
    };
    let credentials = format!("me:{PASSWORD}");
    let remote = format!("docker://{name}");
    let raw = skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &credentials,
        &remote,
    ]);
    assert_eq!(pywasm_format::Digest::of(&raw).to_string(), author.digest());
    let place = |name: &str| folder.path().join(name).display().to_string();
    // The signature lies where cosign looks for it, and is one by the public key.
    let tag = format!("{}.sig", author.digest().replace(':', "-"));
    let signatures = format!("docker://{host}/me/app:{tag}");
    let signed = place("signed");
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &signatures,
        &format!("dir:{signed}"),
    ]);
    let manifest = std::fs::read(format!("{signed}/manifest.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let layer = &manifest["layers"][0];
    assert_eq!(
        layer["mediaType"],
        "application/vnd.dev.cosign.simplesigning.v1+json"
    );
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
        .as_str()
        .expect("a signature");
    let signature = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, signature)
        .expect("base64");
    std::fs::write(place("signature"), signature).expect("a file");
    let payload = layer["digest"]
        .as_str()
        .and_then(|digest| digest.strip_prefix("sha256:"))
        .expect("a digest");
    let key = author.path().join("mine.pub").display().to_string();
    let checked = Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-verify",
            &key,
            "-signature",
            &place("signature"),
            &format!("{signed}/{payload}"),
        ])
        .output()
        .expect("openssl");
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "Verified OK\n");
    let (archive, ours) = (place("theirs.tar"), place("ours.tar"));
    let theirs = format!("oci-archive:{archive}:app");
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &remote,
        &theirs,
    ]);
    let copied = format!("docker://{host}/me/copied:1");
    author.says(&["save", &name, "-o", &ours]);
    skopeo(&["inspect", "--config", &format!("oci-archive:{ours}")]);
    skopeo(&[
        "copy",
        "--dest-tls-verify=false",
        "--dest-creds",
        &credentials,
        &format!("oci-archive:{ours}"),
        &copied,
    ]);
    let reader = Person::new();
    assert_eq!(reader.login(&host, PASSWORD).code, Some(0));
    let copied = format!("{host}/me/copied:1");
    assert_eq!(reader.says(&["run", &copied]), "understood\n");
    reader.says(&["rmi", &copied]);
    reader.says(&["load", "-i", &archive, "-t", "loaded"]);
    assert_eq!(reader.says(&["run", "loaded"]), "understood\n");
    assert_eq!(reader.digest(), author.digest());
    assert!(Path::new(&archive).exists());
}
