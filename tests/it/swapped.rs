//! What an app makes of the folders that it may write to: links in the place of what was granted, trees deeper than any path.

use crate::support::{Running, project, pywasm, run};
use std::fs;
use std::path::Path;

/// A folder that was granted within another one, and a secret beside both.
fn nested() -> tempfile::TempDir {
    let host = tempfile::tempdir().expect("a folder");
    for (folder, name, text) in [("ws/data", "note", "granted"), ("secret", "note", "SECRET")] {
        let folder = host.path().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), text).expect("a file");
    }
    host
}

fn volumes(host: &Path) -> Vec<String> {
    let at = |below: &str, guest: &str| format!("{}:{guest}", host.join(below).display());
    let (ws, data) = (at("ws", "/ws"), at("ws/data", "/data"));
    vec!["-v".to_owned(), ws, "-v".to_owned(), data]
}

/// The sandbox alone holds this, without the kernel's second wall.
#[test]
fn a_further_process_sees_the_folder_that_was_granted_and_not_what_lies_in_its_place() {
    let host = nested();
    let app = project(&[(
        "app.py",
        "import os, subprocess, sys\n\
         look = [sys.executable, '-c', 'print(open(\"/data/note\").read())']\n\
         subprocess.run(look, check=True)\n\
         os.rename('/ws/data', '/ws/moved'); os.symlink('../secret', '/ws/data')\n\
         print(os.readlink('/ws/data'))\n\
         subprocess.run(look, check=True)\n",
    )]);
    let mut command = pywasm(["run", "--wall", "off"]);
    command
        .args(volumes(host.path()))
        .arg(app.path().join("app.py"));
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "granted\n../secret\ngranted\n");
}

const WORKER: &str = "\
import os, socket
print('note:', open('/data/note').read(), flush=True)
server = socket.create_server(('0.0.0.0', 5000))
while True:
    connection, _ = server.accept()
    word = connection.recv(10)
    if word == b'swap':
        os.rename('/ws/data', '/ws/moved'); os.symlink('../secret', '/ws/data')
    os._exit(7)
";

/// Workers open what is granted anew.
#[test]
fn a_worker_starts_with_what_was_granted_and_not_with_what_the_app_has_put_there() {
    use std::io::Write;
    let host = nested();
    let app = project(&[("app.py", WORKER)]);
    let mut command = pywasm(["run", "--workers", "1", "-p", "0:5000"]);
    command
        .args(volumes(host.path()))
        .arg(app.path().join("app.py"));
    let mut server = Running::start(command);
    let address = server.address(5000);
    let say = |word: &[u8]| {
        let mut connection = std::net::TcpStream::connect(address).expect("it listens");
        connection.write_all(word).expect("it reads");
    };
    server.line("note: granted");
    server.forget();
    // The control: a worker that ends is replaced.
    say(b"end");
    server.line("note: granted");
    say(b"swap");
    server.line("was changed in a folder that the app may write to");
    assert_eq!(server.count("SECRET"), 0);
    assert!(host.path().join("ws/data").is_symlink());
}

#[test]
fn a_single_file_that_the_app_could_replace_is_not_given_to_workers() {
    let host = nested();
    let app = project(&[("app.py", WORKER)]);
    let mut command = pywasm(["run", "--workers", "1", "-p", "0:5000"]);
    let (ws, file) = (host.path().join("ws"), host.path().join("ws/data/note"));
    command
        .arg("-v")
        .arg(format!("{}:/ws", ws.display()))
        .arg("-v")
        .arg(format!("{}:/data/note:ro", file.display()))
        .arg(app.path().join("app.py"));
    let ended = run(command);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended
            .stderr
            .contains("lies in a folder that the app may write to"),
        "{}",
        ended.stderr
    );
}

/// Chains of folders, each of which is hung below the end of the next: deeper than a stack bears, and with more levels than a process has
/// descriptors.
const DEEP: &str = "\
import os, sys
here = sys.argv[1]
root = os.open(here, os.O_RDONLY)
for chain in range(40):
    os.mkdir(f'c{chain}', dir_fd=root)
    end = os.open(f'c{chain}', os.O_RDONLY, dir_fd=root)
    for _ in range(200):
        os.mkdir('d', dir_fd=end)
        below = os.open('d', os.O_RDONLY, dir_fd=end)
        os.close(end)
        end = below
    if chain:
        os.rename(f'c{chain - 1}', 'd', src_dir_fd=root, dst_dir_fd=end)
    os.close(end)
print('8000 deep')
";

#[test]
fn a_tree_that_is_too_deep_for_a_stack_is_removed() {
    let app = project(&[("app.py", DEEP)]);
    let mut command = pywasm(["run"]);
    command.arg(app.path().join("app.py")).arg("/tmp");
    let ended = run(command);
    assert_eq!(ended.stdout, "8000 deep\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_volume_with_such_a_tree_is_removed() {
    let app = project(&[("app.py", DEEP)]);
    let name = format!("deep-{}", std::process::id());
    let mut command = pywasm(["run", "-v"]);
    command
        .arg(format!("{name}:/data"))
        .arg(app.path().join("app.py"))
        .arg("/data");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let removed = run(pywasm(["volume", "rm", &name]));
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
}

#[test]
fn files_below_what_a_path_can_name_count_too() {
    let write = |levels: u32| {
        let app = project(&[(
            "app.py",
            &format!(
                "import os\n\
                 here = os.open('/tmp', os.O_RDONLY)\n\
                 for _ in range({levels}):\n    \
                     os.mkdir('n' * 200, dir_fd=here)\n    \
                     here = os.open('n' * 200, os.O_RDONLY, dir_fd=here)\n\
                 total = 0\n\
                 try:\n    \
                     for number in range(60):\n        \
                         file = os.open(f'f{{number}}', os.O_WRONLY | os.O_CREAT, dir_fd=here)\n        \
                         for _ in range(16): total += os.write(file, bytes(1 << 16))\n        \
                         os.close(file)\n\
                 except OSError as error: print(error.strerror)\n\
                 print(total >> 20 < 20)\n"
            ),
        )]);
        let mut command = pywasm(["run", "--disk", "20m"]);
        command.arg(app.path().join("app.py"));
        run(command)
    };
    for levels in [0, 25] {
        let ended = write(levels);
        assert_eq!(
            ended.stdout, "No space left on device\nTrue\n",
            "{levels} levels: {}",
            ended.stderr
        );
    }
}
