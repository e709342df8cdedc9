//! What a package needs, what a person grants, and where both are written.

use crate::support::{Ended, project, pywasm, run};

const NEEDS: &str = "
[needs]
ports = ['5000']
folders = ['/data']
hosts = ['api.example.com:443']
env = ['API_KEY']
memory-mib = 64
";

fn at(folder: &tempfile::TempDir, args: &[&str]) -> Ended {
    let mut command = pywasm(args);
    command
        .current_dir(folder.path())
        .env_remove("API_KEY")
        .env("XDG_DATA_HOME", folder.path().join("data-home"));
    run(command)
}

#[test]
fn a_package_is_granted_what_it_needs_or_does_not_start() {
    let folder = project(&[("app.py", "print('started')"), ("pywasm.toml", NEEDS)]);
    let refused = at(&folder, &["run", "."]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(125), ""));
    insta::assert_snapshot!(
        refused
            .stderr
            .replace("\r", "")
            .split("error: ")
            .last()
            .unwrap_or_default()
    );
    let all = [
        "-p",
        "0:5000",
        "-v",
        "state:/data",
        "--allow-net",
        "*.example.com:443",
        "-e",
        "API_KEY=1",
    ];
    let granted = at(&folder, &[&["run"], &all[..], &["."]].concat());
    assert_eq!(granted.stdout, "started\n", "{}", granted.stderr);
    let ignored = at(&folder, &["run", "--ignore-needs", "."]);
    assert_eq!(ignored.stdout, "started\n", "{}", ignored.stderr);
    let shown = at(&folder, &[&["policy", "show"], &all[..2], &["."]].concat());
    for line in [
        "needs     port 5000/tcp  (granted)",
        "needs     folder /data  (missing: -v HOST_FOLDER:/data)",
        "publish   0:5000",
        "limit     memory 1g",
    ] {
        assert!(
            shown.stdout.lines().any(|l| l == line),
            "{line}: {}",
            shown.stdout
        );
    }
}

#[test]
fn a_policy_file_stands_for_flags_and_flags_win() {
    let code = "import os; print(os.environ['A'], os.environ['B'], os.listdir('/data'))";
    let folder = project(&[
        ("policy/shown/file", ""),
        (
            "policy/grants.toml",
            "[policy]\nenv = ['A=file', 'B=file']\nvolume = './shown:/data:ro'\nmemory = '64m'\ntimeout = '100s'",
        ),
        ("policy/wrong.toml", "[policy]\nprivileged = true"),
    ]);
    let with = |file: &str, more: &[&str]| {
        let front = ["python", "--policy", file];
        at(&folder, &[&front, more, &["-c", code]].concat())
    };
    let ended = with(
        "policy/grants.toml",
        &["--env", "B=flag", "--memory", "128m"],
    );
    assert_eq!(ended.stdout, "file flag ['file']\n", "{}", ended.stderr);
    let refused = with("policy/wrong.toml", &[]);
    assert_eq!(refused.code, Some(125));
    assert!(
        refused.stderr.contains("`privileged` is not one of"),
        "{}",
        refused.stderr
    );
    // A package's own file grants it nothing.
    let folder = project(&[
        ("app.py", "import os; print('A' in os.environ)"),
        ("pywasm.toml", "[policy]\nenv = ['A=1']"),
    ]);
    assert_eq!(at(&folder, &["run", "."]).stdout, "False\n");
    let granted = at(&folder, &["run", "--policy", "pywasm.toml", "."]);
    assert_eq!(granted.stdout, "True\n", "{}", granted.stderr);
}

#[test]
fn a_named_volume_is_kept_and_a_file_is_given_as_a_copy() {
    let folder = project(&[("config.json", "given")]);
    let with = |volume: &str, code: &str| at(&folder, &["python", "--volume", volume, "-c", code]);
    with(
        "state:/data",
        "open('/data/kept', 'w').write('from before')",
    );
    let again = with("state:/data", "print(open('/data/kept').read())");
    assert_eq!(again.stdout, "from before\n", "{}", again.stderr);
    let other = with("other:/data", "import os; print(os.listdir('/data'))");
    assert_eq!(other.stdout, "[]\n", "{}", other.stderr);
    let file = "./config.json:/etc/app/config.json";
    let code = "p = '/etc/app/config.json'; print(open(p).read()); open(p, 'w').write('changed')";
    assert_eq!(with(&format!("{file}:ro"), code).stdout, "given\n");
    let kept = std::fs::read_to_string(folder.path().join("config.json")).expect("there");
    assert_eq!(kept, "given");
    let refused = with(file, code);
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains(":ro"), "{}", refused.stderr);
}

#[test]
fn an_empty_volume_begins_with_what_the_package_has_there() {
    let folder = project(&[
        (
            "app.py",
            "import os; print(sorted(os.listdir('static')), open('static/css/a').read())\nopen('static/css/a', 'a').write('+')\n",
        ),
        ("static/css/a", "a"),
        ("static/b", "b"),
    ]);
    let volumes = project(&[]);
    let started = |volume: &str| {
        let mut command = pywasm(["run", "--volume", volume]);
        command.env("PYWASM_DATA", volumes.path());
        command.arg(folder.path());
        run(command)
    };
    let first = started("static:/app/static");
    assert_eq!(first.stdout, "['b', 'css'] a\n", "{}", first.stderr);
    assert!(
        first.stderr.contains(
            "the volume static was empty: it begins with the package's own files in /app/static"
        ),
        "{}",
        first.stderr
    );
    let second = started("static:/app/static");
    assert_eq!(second.stdout, "['b', 'css'] a+\n", "{}", second.stderr);
    assert!(!second.stderr.contains("was empty"), "{}", second.stderr);
}

#[test]
fn volumes_are_listed_and_removed_but_not_from_under_an_app() {
    let folder = project(&[]);
    let data = folder.path().join("data");
    let pywasm = |args: &[&str]| {
        let mut command = pywasm(args);
        command.env("PYWASM_DATA", &data);
        command
    };
    assert_eq!(run(pywasm(&["volume", "ls", "-q"])).stdout, "");
    let code = "open('/data/kept', 'w').write('x' * 3000); print('up', flush=True); input()";
    let mut command = pywasm(&["python", "--volume", "state:/data", "-c", code]);
    command.stdin(std::process::Stdio::piped());
    let mut app = crate::support::Running::start(command);
    app.line("up");
    let listed = run(pywasm(&["volume", "ls"])).stdout;
    assert!(listed.starts_with("VOLUME"), "{listed}");
    assert!(
        listed.contains("state ") && listed.contains("3.0 kB"),
        "{listed}"
    );
    let refused = run(pywasm(&["volume", "rm", "state"]));
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("`state` is in use"), "{refused:?}");
    assert!(data.join("volumes/state/kept").exists());
    app.signal("TERM");
    app.wait();
    let removed = run(pywasm(&["volume", "rm", "state"]));
    assert_eq!(
        (removed.code, removed.stdout.as_str()),
        (Some(0), "removed state\n")
    );
    assert_eq!(run(pywasm(&["volume", "ls", "-q"])).stdout, "");
    let missing = run(pywasm(&["volume", "rm", "state"]));
    assert_eq!(missing.code, Some(125));
    assert!(missing.stderr.contains("no volume `state`"), "{missing:?}");
    assert_eq!(run(pywasm(&["volume", "rm", "-f", "state"])).code, Some(0));
}

#[test]
fn all_exposed_ports_can_be_published() {
    let folder = project(&[
        ("app.py", "print('up')"),
        (
            "Dockerfile",
            "FROM python:3.14\nWORKDIR /app\nCOPY . .\nEXPOSE 5000 53/udp\nCMD python app.py",
        ),
    ]);
    let shown = at(&folder, &["policy", "show", "-P", "."]);
    let ports: Vec<_> = shown
        .stdout
        .lines()
        .filter(|l| l.starts_with("publish"))
        .collect();
    assert_eq!(
        ports,
        ["publish   0:5000", "publish   0:53/udp"],
        "{}",
        shown.stderr
    );
}

#[test]
fn datagrams_reach_a_published_port_and_answers_the_caller() {
    let code = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53))
data, caller = s.recvfrom(100); s.sendto(data.upper(), caller)";
    let mut command = pywasm(["python", "--publish", "0:53/udp", "-c", code]);
    command.stdin(std::process::Stdio::null());
    let mut server = crate::support::Running::start(command);
    let address = server.address(53);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    client.send_to(b"ping", address).expect("sent");
    client
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .expect("a socket");
    let mut answer = [0; 10];
    let (size, from) = client.recv_from(&mut answer).expect("an answer");
    assert_eq!((&answer[..size], from), (&b"PING"[..], address));
}
