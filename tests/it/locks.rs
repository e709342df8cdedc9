//! Locks of files: between instances that have the same folder, between the processes of an app, and against programs of
//! the host.

use crate::support::{Ended, Running, project, python, pywasm, run};
use std::fs::File;
use std::path::Path;
use std::process::Command;

fn instance(folder: &Path, access: &str, code: &str) -> Command {
    let volume = format!("{}:/data{access}", folder.display());
    let mut command = pywasm(["python", "--timeout", "200s", "--volume", &volume]);
    command.args(["-c", code]);
    command
}

fn in_folder(folder: &Path, code: &str) -> Ended {
    run(instance(folder, "", code))
}

#[track_caller]
fn prints(ended: &Ended, expected: &str) {
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// What another instance can have while `HOLDER` holds both kinds of lock.
const PROBE: &str = "
import fcntl
def tries(what, *arguments):
    try: what(*arguments)
    except BlockingIOError: return 'no'
    return 'yes'
file, ranges = open('/data/file', 'r+'), open('/data/ranges', 'r+')
print('flock', tries(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB), tries(fcntl.flock, file, fcntl.LOCK_SH | fcntl.LOCK_NB))
exclusive, shared = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB
print('shared 0-10', tries(fcntl.lockf, ranges, exclusive, 10, 0), tries(fcntl.lockf, ranges, shared, 10, 0))
print('exclusive 20-', tries(fcntl.lockf, ranges, exclusive, 1, 1000), tries(fcntl.lockf, ranges, shared, 0, 19))
print('free', tries(fcntl.lockf, ranges, exclusive, 9, 11))
";

const HOLDER: &str = "
import fcntl, os, time
file, ranges = open('/data/file', 'w'), open('/data/ranges', 'w+')
fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(ranges, fcntl.LOCK_SH, 10, 0)
fcntl.lockf(ranges, fcntl.LOCK_EX, 0, 20)
print('held', flush=True)
while not os.path.exists('/data/go'): time.sleep(0.01)
file.close(); open('/data/ranges').close()
print('given up', flush=True)
time.sleep(600)
";

#[test]
fn instances_that_share_a_folder_keep_each_other_out() {
    let folder = project(&[]);
    let mut holder = Running::start(instance(folder.path(), "", HOLDER));
    holder.line("held");
    prints(
        &in_folder(folder.path(), PROBE),
        "flock no no\nshared 0-10 no yes\nexclusive 20- no no\nfree yes\n",
    );
    // Closing gives locks up: those of an open file with it, those of ranges with any open file of it.
    File::create(folder.path().join("go")).expect("made");
    holder.line("given up");
    let all = "flock yes yes\nshared 0-10 yes yes\nexclusive 20- yes yes\nfree yes\n";
    prints(&in_folder(folder.path(), PROBE), all);
}

#[test]
fn what_is_killed_holds_no_locks() {
    let folder = project(&[]);
    let mut holder = Running::start(instance(folder.path(), "", HOLDER));
    holder.line("held");
    holder.signal("KILL");
    holder.wait();
    let all = "flock yes yes\nshared 0-10 yes yes\nexclusive 20- yes yes\nfree yes\n";
    prints(&in_folder(folder.path(), PROBE), all);
}

#[test]
fn programs_of_the_host_and_instances_keep_each_other_out() {
    let folder = project(&[("file", ""), ("ranges", "")]);
    let held = File::open(folder.path().join("file")).expect("there");
    held.lock().expect("locked");
    let probed = in_folder(folder.path(), PROBE);
    assert!(
        probed.stdout.starts_with("flock no no\n"),
        "{}",
        probed.stderr
    );
    held.unlock().expect("unlocked");
    let mut holder = Running::start(instance(folder.path(), "", HOLDER));
    holder.line("held");
    assert!(held.try_lock().is_err());
}

/// A process is the owner of its record locks, whichever file it has them by; and waits where it is told to.
#[test]
fn processes_of_an_app_keep_each_other_out() {
    let code = r#"
import fcntl, subprocess, sys
one, two = open('/tmp/x', 'w+'), open('/tmp/x', 'w+')
for file in one, two: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
other = '''
import fcntl, sys
file = open("/tmp/x", "r+")
try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: print("busy", flush=True)
fcntl.lockf(file, fcntl.LOCK_EX)
print("mine", flush=True)
'''
child = subprocess.Popen([sys.executable, '-c', other], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline().strip())
fcntl.lockf(two, fcntl.LOCK_UN)
print(child.stdout.readline().strip(), child.wait())
fcntl.flock(one, fcntl.LOCK_EX)
try: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: print('one open file is not the other')
"#;
    let ended = python(["--timeout", "200s", "-c", code]);
    prints(&ended, "busy\nmine 0\none open file is not the other\n");
}

#[test]
fn who_may_only_read_a_folder_keeps_nobody_from_reading() {
    let folder = project(&[("file", ""), ("ranges", "")]);
    let code = "
import errno, fcntl
file = open('/data/file')
fcntl.flock(file, fcntl.LOCK_SH)
for lock in fcntl.flock, fcntl.lockf:
    try: lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error: print(errno.errorcode[error.errno])
";
    prints(&run(instance(folder.path(), ":ro", code)), "EBADF\nEBADF\n");
    prints(&run(instance(folder.path(), "", code)), "EBADF\n");
}

/// The kernel keeps ranges in memory that it counts to nobody.
#[test]
fn a_process_has_so_many_ranges_and_no_more() {
    let code = "
import errno, fcntl
file = open('/tmp/x', 'w')
def lock(count):
    for at in range(count): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * at)
lock(4000)
try: lock(100_000)
except OSError as error: print(errno.errorcode[error.errno])
fcntl.lockf(file, fcntl.LOCK_UN)
lock(4000)
fcntl.lockf(file, fcntl.LOCK_UN)
files = [open(f'/tmp/{number}', 'w') for number in range(300)]
try:
    for one in files: fcntl.lockf(one, fcntl.LOCK_EX)
except OSError as error: print(errno.errorcode[error.errno], one.name)
";
    let ended = python(["-c", code]);
    prints(&ended, "ENOLCK\nENOLCK /tmp/256\n");
}

const COUNT: &str = "
import sqlite3
base = sqlite3.connect('/data/count.db', timeout=150, isolation_level=None)
for _ in range(100):
    base.execute('BEGIN IMMEDIATE')
    (value,) = base.execute('SELECT value FROM count').fetchone()
    base.execute('UPDATE count SET value = ?', (value + 1,))
    base.execute('COMMIT')
";

#[test]
fn a_database_counts_right_for_instances_and_processes_at_once() {
    let folder = project(&[("count.py", COUNT)]);
    let make = "
import sqlite3
base = sqlite3.connect('/data/count.db')
base.execute('CREATE TABLE count (value)'); base.execute('INSERT INTO count VALUES (0)'); base.commit()
";
    prints(&in_folder(folder.path(), make), "");
    let both = "
import subprocess, sys
children = [subprocess.Popen([sys.executable, '/data/count.py']) for _ in range(2)]
print([child.wait() for child in children])
";
    std::thread::scope(|scope| {
        let processes = scope.spawn(|| in_folder(folder.path(), both));
        let instance = scope.spawn(|| in_folder(folder.path(), COUNT));
        prints(&processes.join().expect("no panic"), "[0, 0]\n");
        prints(&instance.join().expect("no panic"), "");
    });
    let ask = "import sqlite3; print(sqlite3.connect('/data/count.db').execute('SELECT value FROM count').fetchone())";
    prints(&in_folder(folder.path(), ask), "(300,)\n");
}

/// Killed in the middle of a transaction that has already changed the file.
#[test]
fn a_killed_writer_leaves_a_good_database() {
    let folder = project(&[]);
    let writer = "
import sqlite3, time
base = sqlite3.connect('/data/bank.db', isolation_level=None)
base.execute('CREATE TABLE accounts (id INTEGER PRIMARY KEY, money INTEGER, filler TEXT)')
base.executemany('INSERT INTO accounts VALUES (?, 100, ?)', [(number, 'x' * 500) for number in range(2000)])
base.execute('PRAGMA cache_size = 10')
base.execute('BEGIN')
base.execute('UPDATE accounts SET money = 0, filler = \"y\" WHERE id < 1500')
print('in the middle', flush=True)
time.sleep(600)
";
    let mut running = Running::start(instance(folder.path(), "", writer));
    running.line("in the middle");
    let read = "
import sqlite3
base = sqlite3.connect('/data/bank.db', timeout=0)
try: print(base.execute('PRAGMA integrity_check').fetchone(), base.execute('SELECT count(*), sum(money) FROM accounts').fetchone())
except sqlite3.OperationalError as error: print(error)
";
    // What it has changed is in the file already, and the lock keeps others from it.
    prints(&in_folder(folder.path(), read), "database is locked\n");
    running.signal("KILL");
    running.wait();
    let journal = folder.path().join("bank.db-journal");
    assert!(journal.metadata().expect("a journal").len() > 0);
    prints(&in_folder(folder.path(), read), "('ok',) (2000, 200000)\n");
    assert!(!journal.exists(), "it was played back");
}
