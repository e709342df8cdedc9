//! Further processes of an app: instances of the same package under the same grants.

use crate::support::{Ended, Running, project, python, pywasm, run};
use std::process::Stdio;

/// Runs this as a file, which `multiprocessing` needs to find what it calls.
#[track_caller]
fn script(flags: &[&str], code: &str) -> Ended {
    let folder = project(&[("main.py", code)]);
    let mut command = pywasm(["python"]);
    command
        .args(flags)
        .arg("main.py")
        .current_dir(folder.path());
    run(command)
}

#[track_caller]
fn prints(code: &str, expected: &str) {
    let ended = script(&["--timeout", "100s"], code);
    assert_eq!(ended.stdout, expected, "{}", ended.stderr);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_python_in_a_python() {
    prints(
        "
import os, subprocess, sys
def python(code, **options): return subprocess.run([sys.executable, '-c', code], **options)
done = python('print(6 * 7)', capture_output=True, text=True)
print(done.stdout.strip(), done.returncode)
print(subprocess.check_output([sys.executable, '-c', 'print(input()[::-1])'], input='hello', text=True).strip())
print(python('import sys; print(1, file=sys.stderr)', stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout)
print(python('import sys; sys.exit(7)').returncode)
print(python('import os; print(os.environ[\"A\"], os.getcwd())', env={'A': 'given'}, cwd='/tmp', capture_output=True, text=True).stdout.strip())
print(python('import os; print(os.getpid() > 1, os.getppid())', capture_output=True, text=True).stdout.strip())
with open('/tmp/out', 'w') as out: python('print(\"to a file\")', stdout=out)
print(open('/tmp/out').read().strip())
print(python('print(1)', stdout=subprocess.DEVNULL).returncode)
python('print(\"on the same output\")')
data = os.urandom(300_000)
echo = python('import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())', input=data, capture_output=True)
print(echo.stdout == data)
",
        "42 0\nolleh\nb'1\\n'\n7\ngiven /tmp\nTrue 1\nto a file\n0\non the same output\nTrue\n",
    );
}

/// Linux's limits. From the sources of the library, which are tested before they are packed.
#[test]
fn arguments_that_are_too_long_are_an_error_of_the_call() {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/cpython/lib:/lib:ro");
    let code = "
import errno, sys
sys.path.insert(0, '/lib')
import _posixsubprocess, subprocess
assert _posixsubprocess.__file__ == '/lib/_posixsubprocess.py'
for words in ['x'] * 2_000_000, ['x' * (128 << 10)], ['x' * 100_000] * 21:
    try: subprocess.run([sys.executable, '-c', 'pass', *words])
    except OSError as error: print(errno.errorcode[error.errno], error.filename == sys.executable)
try: subprocess.run([sys.executable, '-c', 'pass'], env={'A': 'x' * (128 << 10)})
except OSError as error: print(error.strerror)
print(subprocess.run([sys.executable, '-c', 'pass', *['x' * 100_000] * 20]).returncode)
";
    let ended = python(["--volume", library, "-c", code]);
    assert_eq!(
        ended.stdout, "E2BIG True\nE2BIG True\nE2BIG True\nArgument list too long\n0\n",
        "{}",
        ended.stderr
    );
}

/// More than a pipe holds, both ways at once: each side reads only when it has written what it wanted to.
#[test]
fn much_is_said_both_ways() {
    prints(
        r#"
import subprocess, sys
child = 'import sys; sys.stderr.write("x" * 1_000_000); sys.stdout.write(sys.stdin.read())'
done = subprocess.run([sys.executable, '-c', child], input=b'a' * 1_000_000, capture_output=True)
print(len(done.stdout), len(done.stderr))
slow = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdin=subprocess.PIPE)
try: slow.communicate(b'a' * 200_000, timeout=0.2)
except subprocess.TimeoutExpired: print('in time')
slow.kill()
"#,
        "1000000 1000000\nin time\n",
    );
}

/// As Linux tells it: by an error of the end that is written to, to whoever asks about it, and to asyncio, which waits for that.
#[test]
fn a_writer_hears_that_the_reader_has_ended() {
    prints(
        r#"
import asyncio, os, select, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
waits = select.poll()
waits.register(child.stdin, select.POLLIN)
print(waits.poll(0))
child.stdin.write(b'\n')
child.stdin.flush()
print(waits.poll(20000) == [(child.stdin.fileno(), select.POLLERR)], select.select([child.stdin], [], [], 0)[0] == [child.stdin], child.wait())

class Ends(asyncio.SubprocessProtocol):
    def __init__(self): self.lost, self.over = [], asyncio.get_running_loop().create_future()
    def pipe_connection_lost(self, number, error): self.lost.append(number)
    def connection_lost(self, error): self.over.set_result(sorted(self.lost))
async def main():
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(Ends, sys.executable, '-c', 'import time; time.sleep(600)')
    transport.kill()
    print(await asyncio.wait_for(protocol.over, 20), transport.get_returncode())
asyncio.run(main())
"#,
        "[]\nTrue True 0\n[0, 1, 2] -9\n",
    );
}

#[test]
fn a_log_that_processes_share() {
    prints(
        r#"
import subprocess, sys
def say(text, **options):
    return subprocess.run([sys.executable, '-c', f'import os; os.write(1, b"{text} out,"); os.write(2, b"{text} err,")'], **options)
with open('/tmp/log', 'w+') as log:
    log.write('first,'); log.flush()
    say('one', stdout=log, stderr=subprocess.STDOUT)
    log.write('then,'); log.flush()
    say('two', stdout=log, stderr=log)
    say('three', stdout=log)
    log.seek(0)
    print(log.read())
    log.seek(0)
    log.write('FIRST'); log.flush()
    log.seek(0)
    print(log.read(20))
print(subprocess.check_output([sys.executable, '-c', 'import os; print(dict(os.environ))'], env={}, text=True), end='')
"#,
        "first,one out,one err,then,two out,two err,three out,\nFIRST,one out,one er\n{}\n",
    );
}

#[test]
fn processes_are_waited_for_signalled_and_killed() {
    prints(
        "
import os, signal, subprocess, sys, time
def start(code, **options): return subprocess.Popen([sys.executable, '-c', code], **options)
sleeper = start('import time; time.sleep(600)')
print(sleeper.poll())
try: sleeper.wait(0.2)
except subprocess.TimeoutExpired: print('still there')
sleeper.terminate()
print(sleeper.wait())
busy = start('while True: pass')
busy.kill()
print(busy.wait())
try: subprocess.run([sys.executable, '-c', 'while True: pass'], timeout=0.5)
except subprocess.TimeoutExpired: print('timed out')
careful = start('''
import signal, sys, time
def leave(number, frame): print('cleaned up', flush=True); sys.exit(5)
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
time.sleep(600)''', stdout=subprocess.PIPE, text=True)
print(careful.stdout.readline().strip())
careful.send_signal(signal.SIGTERM)
print(careful.communicate()[0].strip(), careful.returncode)
try: os.kill(careful.pid, 0)
except ProcessLookupError: print('gone')
try: os.waitpid(-1, 0)
except ChildProcessError: print('no more children')
pid = os.posix_spawn(sys.executable, ['python', '-c', 'raise SystemExit(9)'], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.putenv('PUT', '3')
ends_with = 'import os; raise SystemExit(int(os.environ[\"PUT\"]))'
print(os.spawnl(os.P_WAIT, sys.executable, 'python', '-c', ends_with))
print(os.spawnve(os.P_WAIT, sys.executable, ['python', '-c', ends_with], {'PUT': '4'}))
for number in 15, 9:
    ends_itself = f'import os; os.kill(os.getpid(), {number})'
    print(os.spawnv(os.P_WAIT, sys.executable, ['python', '-c', ends_itself]))
pid = os.spawnv(os.P_NOWAIT, sys.executable, ['python', '-c', 'pass'])
print(os.waitpid(pid, 0) == (pid, 0))
",
        "None\nstill there\n-15\n-9\ntimed out\nready\ncleaned up 5\ngone\nno more children\n9\n3\n4\n-15\n-9\nTrue\n",
    );
}

#[test]
fn other_programs_are_refused_with_the_reason() {
    let ended = python([
        "-c",
        "
import os, subprocess
for start in (lambda: subprocess.run(['du', '-l']), lambda: subprocess.run('du', shell=True), lambda: os.popen('du'),
              lambda: subprocess.run(['/bin/sh', '-c', 'id']), lambda: os.posix_spawn('/bin/du', ['du'], {})):
    try: start()
    except FileNotFoundError as error: print(error)
    else: print('STARTED')
try: subprocess.run(['python'], cwd='/none')
except FileNotFoundError as error: print(error.filename)
print(hasattr(os, 'fork'), hasattr(os, 'execv'))
subprocess.run(['git', 'status'])",
    ]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(!ended.stdout.contains("STARTED"), "{}", ended.stdout);
    let told = ended
        .stdout
        .matches("is not a program of this package")
        .count();
    assert_eq!(told, 5, "{} {}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.ends_with("/none\nFalse True\n"),
        "{}",
        ended.stdout
    );
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("`/usr/local/bin/git` is not a program"),
        "{last}"
    );
}

#[test]
fn multiprocessing() {
    prints(
        "
import ctypes, multiprocessing as mp, os
def double(number): return number * 2
def work(queue, connection, lock, event, semaphore):
    event.wait()
    with lock, semaphore: queue.put(os.getpid())
    connection.send([connection.recv(), 'back'])
def fail(): raise ValueError('on purpose')
if __name__ == '__main__':
    print(mp.get_start_method())
    with mp.Pool(2) as pool: print(sum(pool.map(double, range(1000))))
    queue, event, lock, semaphore = mp.Queue(), mp.Event(), mp.Lock(), mp.Semaphore(1)
    ours, theirs = mp.Pipe()
    child = mp.Process(target=work, args=(queue, theirs, lock, event, semaphore)); child.start()
    event.set(); ours.send('there')
    print(queue.get() == child.pid, ours.recv())
    child.join(); print(child.exitcode)
    child = mp.Process(target=fail); child.start(); child.join(); print(child.exitcode)
    with mp.Manager() as manager:
        shared = manager.dict(a=1)
        child = mp.Process(target=shared.update, kwargs=dict(b=2)); child.start(); child.join()
        print(sorted(shared.items()))
    numbers, number = mp.Array('i', 3), mp.Value(ctypes.c_double, 1.5)
    with numbers.get_lock(): numbers[1] += 7
    print(list(numbers), number.value, mp.RawValue('c', b'x').value)
    for value in (mp.Value('i', 1), numbers):
        try: mp.Process(target=print, args=(value,)).start()
        except TypeError as error: print('use a Queue' in str(error))
",
        "spawn\n999000\nTrue ['there', 'back']\n0\n1\n[('a', 1), ('b', 2)]\n[0, 7, 0] 1.5 b'x'\nTrue\nTrue\n",
    );
}

/// A tutorial's example, with the name of each process, and stopped as one stops it.
#[test]
fn five_workers_print_until_they_are_interrupted() {
    let app = project(&[(
        "app.py",
        "
import multiprocessing
import time

def worker():
    while True:
        print(multiprocessing.current_process().name, 'Worker:', time.ctime(), flush=True)
        time.sleep(1)

if __name__ == '__main__':
    processes = []
    for _ in range(5):
        p = multiprocessing.Process(target=worker)
        processes.append(p)
        p.start()

    for p in processes:
        p.join()
",
    )]);
    let mut command = pywasm(["run"]);
    command.arg(app.path().join("app.py"));
    let mut app = Running::start(command);
    for number in 1..=5 {
        app.line(&format!("Process-{number} Worker: "));
    }
    app.signal("INT");
    assert_eq!(app.wait(), Some(130));
}

#[test]
fn a_pool_of_processes_and_asyncio() {
    prints(
        "
import asyncio, concurrent.futures, sys
def square(number): return number ** 2
async def talk():
    child = await asyncio.create_subprocess_exec(
        sys.executable, '-c', 'print(input().upper())', stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate(b'asyncio')
    return out, child.returncode
if __name__ == '__main__':
    with concurrent.futures.ProcessPoolExecutor(2) as pool: print(list(pool.map(square, range(5))))
    print(asyncio.run(talk()))
",
        "[0, 1, 4, 9, 16]\n(b'ASYNCIO\\n', 0)\n",
    );
}

/// What is granted to the first process is granted to all, once.
#[test]
fn grants_and_limits_are_shared() {
    let folder = project(&[("given", "text")]);
    let volume = format!("{}:/data:ro", folder.path().display());
    let code = "
import subprocess, sys
def python(code): return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
print(python('print(open(\"/data/given\").read())').stdout.strip())
print('Read-only' in python('open(\"/data/new\", \"w\")').stderr)
print('Permission' in python('import socket; socket.create_connection((\"192.0.2.1\", 80))').stderr)
open('/tmp/shared', 'w').write('seen by all')
print(python('print(open(\"/tmp/shared\").read())').stdout.strip())
held = bytearray(120 << 20)
print('MemoryError' in python('bytearray(120 << 20)').stderr)
del held
children = []
try:
    while len(children) < 100: children.append(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE))
except BlockingIOError as error: print(len(children), error.strerror)
for child in children: child.kill(); child.wait()
print(python('print(\"room again\")').stdout.strip())
";
    let flags = ["--memory", "256m", "--pids-limit", "3", "--volume", &volume];
    let ended = script(&flags, code);
    assert_eq!(
        ended.stdout,
        "text\nTrue\nTrue\nseen by all\nTrue\n2 the app has no more processes\nroom again\n",
        "{}",
        ended.stderr
    );
}

/// Whatever they do, also in the middle of a computation that takes no signals.
#[test]
fn the_end_of_the_first_is_the_end_of_all() {
    for child in ["import time; time.sleep(600)", "7**10**8"] {
        let code = format!(
            "import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child:?}]); print('started')"
        );
        let ended = python(["--timeout", "100s", "-c", &code]);
        assert_eq!(
            (ended.stdout.as_str(), ended.code),
            ("started\n", Some(0)),
            "{}",
            ended.stderr
        );
    }
    let code = "
import subprocess, sys
children = [subprocess.Popen([sys.executable, '-c', 'import time; print(\"up\", flush=True); time.sleep(600)']) for _ in range(2)]
for child in children: child.wait()";
    let mut command = pywasm(["python", "-c", code]);
    command.stdin(Stdio::null());
    let mut app = Running::start(command);
    app.line("up");
    app.signal("TERM");
    assert_eq!(app.wait(), Some(143));
}

#[test]
fn processor_time_of_all_counts() {
    let code = "
import subprocess, sys
for _ in range(20): subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))'])";
    let ended = python(["--cpu-time", "1s", "-c", code]);
    assert_eq!(ended.code, Some(124), "{}", ended.stderr);
    assert!(ended.stderr.contains("--cpu-time"), "{}", ended.stderr);
}

/// The kernel's own word on how far each thread stands back.
#[cfg(target_os = "linux")]
#[test]
fn further_processes_stand_back() {
    let code = "
import subprocess, sys, time
if len(sys.argv) > 1: print('child', flush=True); time.sleep(600)
for _ in range(3): subprocess.Popen([sys.executable, __file__, 'child'])
print('first', flush=True); time.sleep(600)";
    let folder = project(&[("main.py", code)]);
    let mut command = pywasm(["python", "main.py"]);
    command.current_dir(folder.path());
    let mut app = Running::start(command);
    let places = || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", app.pid())).expect("it runs");
        let stats = threads
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        let mut all: Vec<i32> = stats
            .filter_map(|stat| {
                // The name is in parentheses; the place is the 17th field after it.
                let (name, rest) = stat.rsplit_once(')')?;
                let place = rest.split_whitespace().nth(16)?.parse().ok()?;
                name.ends_with("pywasm-process").then_some(place)
            })
            .collect();
        all.sort_unstable();
        all
    };
    // Where this test stands itself counts too, and 19 is the last place.
    let own = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let own: i32 = own
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(16)?.parse().ok())
        .expect("a number");
    let expected = [9, 10, 11].map(|steps: i32| (own + steps).min(19));
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(240);
    while places() != expected {
        let waiting = std::time::Instant::now() < patience;
        assert!(waiting, "{:?}, expected {expected:?}", places());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    app.signal("TERM");
    assert_eq!(app.wait(), Some(143));
}
