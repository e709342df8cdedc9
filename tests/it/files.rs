//! Which files an app reaches.

use crate::support::{project, python, pywasm, run, run_package};

#[test]
fn host_files_are_not_there_and_the_flag_is_named() {
    let ended = python(["-c", "open('/etc/passwd')"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("FileNotFoundError"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("add --volume /etc:/etc:ro"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_mount_is_read_and_written() {
    let folder = project(&[("in.txt", "given")]);
    let volume = format!("{}:/data", folder.path().display());
    let code = "open('/data/out.txt', 'w').write(open('/data/in.txt').read().upper())";
    let ended = python(["--volume", &volume, "-c", code]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let written = std::fs::read_to_string(folder.path().join("out.txt")).expect("written");
    assert_eq!(written, "GIVEN");
}

#[test]
fn a_read_only_mount_is_read_and_not_changed() {
    let folder = project(&[("in.txt", "given")]);
    let volume = format!("{}:/data:ro", folder.path().display());
    let code = "
import os
print(open('/data/in.txt').read())
def denied(what, *args):
    try: what(*args)
    except OSError as error: return True
    print('NOT DENIED', what)
denied(open, '/data/new', 'w')
denied(open, '/data/in.txt', 'w')
denied(open, '/data/in.txt', 'a')
denied(os.truncate, '/data/in.txt', 0)
denied(os.remove, '/data/in.txt')
denied(os.rename, '/data/in.txt', '/data/x')
denied(os.rename, '/data/in.txt', '/tmp/x')
denied(os.mkdir, '/data/d')
denied(os.link, '/data/in.txt', '/tmp/x')
denied(os.symlink, '/data/in.txt', '/data/l')
denied(os.utime, '/data/in.txt', (0, 0))
";
    let ended = python(["--volume", &volume, "-c", code]);
    assert_eq!(ended.stdout, "given\n", "{}", ended.stderr);
    let kept: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .flatten()
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        std::fs::read_to_string(kept[0].path()).expect("kept"),
        "given"
    );
}

#[test]
fn a_mount_is_no_way_out() {
    let folder = project(&[("secret.txt", "secret"), ("data/in.txt", "given")]);
    std::os::unix::fs::symlink("../secret.txt", folder.path().join("data/link")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("data/absolute")).expect("a link");
    let volume = format!("{}:/data", folder.path().join("data").display());
    let code = "
import os
print(open('/data/in.txt').read())
for path in ['/data/../secret.txt', '/data/link', '/data/absolute', '../secret.txt', '/proc/self/environ']:
    try: print('REACHED', path, open(path).read())
    except OSError: pass
";
    let ended = python(["--volume", &volume, "-c", code]);
    assert_eq!(ended.stdout, "given\n", "{}", ended.stderr);
}

#[test]
fn the_app_has_private_writable_files() {
    let code = "
import os, tempfile
open('/tmp/x', 'w').write('1')
open('/here', 'w').write('2')
os.makedirs('/srv/app/data')
print(open('/tmp/x').read() + open('/here').read(), os.listdir('/srv/app'), tempfile.gettempdir())
";
    for _ in 0..2 {
        let ended = python(["-c", code]);
        assert_eq!(ended.stdout, "12 ['data'] /tmp\n", "{}", ended.stderr);
    }
}

/// As relative ones, within a mount: what is in another, the host would look for in this one.
#[test]
fn links_to_absolute_paths_lead_where_they_say() {
    let code = "
import os
os.makedirs('/srv/a/b')
open('/srv/file', 'w').write('there')
os.symlink('/srv/file', '/srv/a/b/link')
print(os.path.samefile('/srv/file', '/srv/a/b/link'))
print(open('/srv/a/b/link').read(), os.readlink('/srv/a/b/link'), os.path.realpath('/srv/a/b/link'))
os.symlink('/srv/none', '/srv/broken')
print(os.path.islink('/srv/broken'), os.path.exists('/srv/broken'))
try: os.symlink(os.__file__, '/srv/far')
except PermissionError as error: print(error.strerror)
";
    let ended = python(["-c", code]);
    assert_eq!(
        ended.stdout, "True\nthere /srv/file /srv/file\nTrue False\nOperation not permitted\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn the_environment_is_only_what_was_given() {
    let code = "import os; print(sorted(os.environ))";
    let ended = python(["--env", "MINE=1", "-c", code]);
    assert!(ended.stdout.contains("'MINE'"), "{}", ended.stdout);
    assert!(
        !ended.stdout.contains("PYWASM_CACHE") && !ended.stdout.contains("CARGO"),
        "{}",
        ended.stdout
    );
}

#[test]
fn importing_from_a_read_only_mount_is_no_denial() {
    let folder = project(&[("module.py", "print('imported')")]);
    let volume = format!("{}:/src:ro", folder.path().display());
    let code = "import sys; sys.path.insert(0, '/src'); import module";
    let ended = python(["--volume", &volume, "-c", code]);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("imported\n", "")
    );
}

/// As a kernel walks, from one mount to the next; and to nothing that is not mounted.
#[test]
fn paths_lead_across_mounts() {
    let host = project(&[
        ("one/in/file", "first"),
        ("two/file", "second"),
        ("secret", "of the host"),
    ]);
    let volume = |name: &str| format!("{}:/{name}", host.path().join(name).display());
    let code = "
import os
for path in ('/tmp/../two/file', '/one/../two/file', '//one//./in/../../two/file', '/one/in/../../../../two//file'):
    print(open(path).read())
os.chdir('/one/in'); os.chdir('..'); print(os.getcwd(), open('../two/file').read())
os.chdir('..'); print(os.getcwd(), 'two' in os.listdir('one/..'))
os.rename('/tmp/../one/in/file', '/two/../one/moved'); print(open('/one/moved').read())
for path in ('/one/../secret', '/one/none/../in', '/one/moved/../in', '/one/../../etc/passwd'):
    try: open(path); print('OPENED', path)
    except OSError as error: print(type(error).__name__)
";
    let flags = ["--volume", &volume("one"), "--volume", &volume("two")];
    let ended = python([&flags[..], &["-c", code]].concat());
    assert_eq!(
        ended.stdout,
        "second\nsecond\nsecond\nsecond\n/one second\n/ True\nfirst\n\
         FileNotFoundError\nFileNotFoundError\nNotADirectoryError\nFileNotFoundError\n",
        "{}",
        ended.stderr
    );
}

#[test]
fn programs_are_told_beforehand_what_they_may_change() {
    let folder = project(&[]);
    let volume = format!("{}:/data:ro", folder.path().display());
    let code = "import os; print([os.access(p, os.W_OK) for p in ('/', '/root', '/tmp', '/data', os.__file__)])";
    let asked = |flags: &[&str]| {
        let line = ["--volume", &volume];
        let line = line.iter().chain(flags).copied().chain(["-c", code]);
        let ended = python(line);
        assert_eq!(ended.stderr, "");
        ended.stdout
    };
    // Before anything is changed, and after.
    assert_eq!(asked(&[]), "[True, True, True, False, False]\n");
    let code = format!("open('/root/x', 'w').close(); {code}");
    let ended = python(["--volume", &volume, "-c", &code]);
    assert_eq!(ended.stdout, "[True, True, True, False, False]\n");
    let read_only = ["--read-only", "--tmpfs", "/tmp"];
    assert_eq!(asked(&read_only), "[False, False, True, False, False]\n");
}

#[test]
fn an_apps_own_modules_have_bytecode_that_follows_their_files() {
    let folder = project(&[
        (
            "main.py",
            "import helper, os\nprint(helper.VALUE, os.path.exists(helper.__cached__), helper.where.__code__.co_filename)\n",
        ),
        ("helper.py", "VALUE = 1\ndef where(): pass\n"),
        ("broken.py", "def (\n"),
    ]);
    let other = project(&[("helper.py", "VALUE = 2\ndef where(): pass\n")]);
    let package = folder.path().join("app.pkg");
    let mut command = pywasm(["pack", "-o"]);
    command.args([&package, folder.path()]);
    assert_eq!(run(command).code, Some(0));
    let shown = |flags: &[&str], args: &[&str]| {
        let ended = run_package(&package, flags, args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    assert_eq!(shown(&[], &[]), "1 True /app/helper.py\n");
    let over = format!("{}/helper.py:/app/helper.py:ro", other.path().display());
    assert_eq!(shown(&["-v", &over], &[]), "2 True /app/helper.py\n");
    let code = "open('helper.py', 'w').write('VALUE = 3'); import helper; print(helper.VALUE)";
    let flags = ["--entrypoint", "python"];
    assert_eq!(shown(&flags, &["-c", code]), "3\n");
    // A folder is packed with each edit.
    let mut command = pywasm(["run"]);
    command.arg(folder.path());
    assert_eq!(run(command).stdout, "1 False /app/helper.py\n");
}

#[test]
fn an_empty_path_names_nothing() {
    let code = "import os\n\
        print(os.path.exists(''), os.path.isdir(''))\n\
        for call in (os.stat, os.lstat, os.chdir, os.mkdir, os.rmdir, os.listdir, os.readlink, open, os.unlink,\n\
        \x20            lambda path: os.open(path, os.O_RDONLY), lambda path: os.rename(path, 'a'),\n\
        \x20            lambda path: os.utime(path), lambda path: os.chmod(path, 0o700)):\n\
        \x20   try: call('')\n\
        \x20   except FileNotFoundError as error: assert error.errno == 2, error\n\
        \x20   else: print('there', call)\n\
        os.chdir('/tmp'); os.makedirs(os.path.join('', 'x')); print(os.path.isdir('x'))\n";
    let ended = python(["-c", code]);
    assert_eq!(ended.stdout, "False False\nTrue\n", "{}", ended.stderr);
}
