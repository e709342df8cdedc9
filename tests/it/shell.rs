//! What images start through a shell: several programs, variables, a script.

use crate::support::{Ended, project, python, pywasm, run, run_package};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FIRST: &str = "print('first', flush=True); open('made', 'w').write('here')\n";
const SECOND: &str = "import os, sys; print('second', open('made').read(), sys.argv[1:])\n\
                      sys.exit(int(os.environ.get('CODE', 0)))\n";

fn packed(dockerfile: &str, more: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let files = [
        ("first.py", FIRST),
        ("second.py", SECOND),
        ("Dockerfile", dockerfile),
    ];
    let folder = project(&[&files, more].concat());
    let package = folder.path().join("app.pkg");
    let mut command = pywasm(["pack", "-o"]);
    command.args([&package, folder.path()]);
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(0), "{stderr}");
    (folder, package)
}

fn started(package: &Path, flags: &[&str], args: &[&str]) -> (Option<i32>, String) {
    let Ended {
        code,
        stdout,
        stderr,
    } = run_package(package, flags, args);
    assert_eq!(stderr, "");
    (code, stdout)
}

#[test]
fn programs_run_one_after_the_other_over_the_same_files() {
    let (_folder, package) = packed(
        "FROM python:3.14\nWORKDIR /app\nCOPY . .\nENV PORT=8000\n\
         CMD python first.py && exec python second.py --port=$PORT \"$NAME\" || python never.py\n",
        &[("never.py", "print('never')\n")],
    );
    let outcome = started(&package, &[], &[]);
    let expected = "first\nsecond here ['--port=8000', '']\n";
    assert_eq!(outcome, (Some(0), expected.to_owned()));
    let outcome = started(
        &package,
        &["-e", "PORT=9", "-e", "NAME=a b", "-e", "CODE=3"],
        &[],
    );
    let expected = "first\nsecond here ['--port=9', 'a b']\n";
    assert_eq!(
        outcome,
        (Some(3), expected.to_owned()),
        "exec is the end of it"
    );
}

#[test]
fn what_fails_ends_the_line_or_begins_another() {
    let (_folder, package) = packed(
        "FROM python:3.14\nWORKDIR /app\nCOPY . .\n\
         CMD python -c 'import sys; sys.exit(4)' && python first.py\n",
        &[],
    );
    assert_eq!(started(&package, &[], &[]), (Some(4), String::new()));
    // Another command in its place, as with any package.
    let line = [
        "sh",
        "-c",
        "python -c '1/0' 2 || python first.py; CODE=7 python second.py",
    ];
    let mut command = pywasm(["run", "--entrypoint", line[0]]);
    command.arg(&package).args(&line[1..]);
    let Ended { code, stdout, .. } = run(command);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(7), "first\nsecond here []\n")
    );
}

#[test]
fn a_script_of_the_image_prepares_and_then_starts_the_command() {
    let (_folder, package) = packed(
        "FROM python:3.14\nWORKDIR /app\nCOPY entrypoint.sh /\nRUN chmod +x /entrypoint.sh\nCOPY *.py ./\n\
         ENTRYPOINT [\"/entrypoint.sh\"]\nCMD [\"python\", \"second.py\", \"x y\"]\n",
        &[(
            "entrypoint.sh",
            "#!/bin/sh\nset -e\n\npython first.py\nexec \"$@\"\n",
        )],
    );
    let expected = "first\nsecond here ['x y']\n".to_owned();
    assert_eq!(started(&package, &[], &[]), (Some(0), expected));
    let expected = "first\nother\n".to_owned();
    let args = ["python", "-c", "print('other')"];
    assert_eq!(started(&package, &[], &args), (Some(0), expected));
}

#[test]
fn what_needs_a_real_shell_is_refused_with_its_line() {
    let folder = project(&[
        (
            "Dockerfile",
            "FROM python:3.14\nCOPY . .\nENTRYPOINT [\"./start.sh\"]\n",
        ),
        (
            "start.sh",
            "#!/bin/bash\nset -e\nuntil python ready.py; do python wait.py; done\nexec \"$@\"\n",
        ),
        ("ready.py", ""),
    ]);
    let mut command = pywasm(["pack"]);
    command.arg(folder.path());
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(125), "{stderr}");
    assert!(
        stderr.contains("start.sh: line 3: `until` needs a shell, which the sandbox does not have; programs one after"),
        "{stderr}"
    );
}

#[test]
fn a_package_is_looked_into_with_the_small_programs_of_images() {
    let (_folder, package) = packed(
        "FROM python:3.14\nWORKDIR /app\nCOPY . .\nENV COLOUR=red\nCMD echo -n starting on $COLOUR; echo; sleep 0.01s && exec python first.py || exit 4\n",
        &[(".hidden", "x"), ("static/a.css", "body {}\n")],
    );
    let outcome = started(&package, &[], &[]);
    assert_eq!(outcome, (Some(0), "starting on red\nfirst\n".to_owned()));
    for (args, expected) in [
        (
            &["ls"][..],
            "Dockerfile\n__pycache__\nfirst.py\nsecond.py\nstatic\n",
        ),
        (
            &["ls", "-A", ".", "static"],
            ".:\n.hidden\nDockerfile\n__pycache__\nfirst.py\nsecond.py\nstatic\n\nstatic:\na.css\n",
        ),
        (&["cat", "static/a.css", ".hidden"], "body {}\nx"),
        (&["pwd"], "/app\n"),
        (&["/bin/echo", "-x", "a b"], "-x a b\n"),
        (&["sh", "-c", "true && cd static && exec ls"], "a.css\n"),
    ] {
        let outcome = started(&package, &[], args);
        assert_eq!(outcome, (Some(0), expected.to_owned()), "{args:?}");
    }
    let below = started(
        &package,
        &["-w", "/"],
        &["sh", "-c", "cd app/static && pwd"],
    );
    assert_eq!(below, (Some(0), "/app/static\n".to_owned()));
    let (_, env) = started(&package, &["-e", "SIZE=9"], &["env"]);
    assert!(
        env.contains("COLOUR=red\n") && env.contains("SIZE=9\n"),
        "{env}"
    );
    let (_, long) = started(&package, &[], &["ls", "-lh", "/app/static"]);
    assert!(
        long.starts_with("-r") && long.ends_with("a.css\n"),
        "{long}"
    );
    for (args, code, error) in [
        (&["false"][..], 1, ""),
        (&["sh", "-c", "exit 7; echo never"], 7, ""),
        (
            &["ls", "nothing"],
            2,
            "ls: nothing: No such file or directory\n",
        ),
        (
            &["cat", "nothing"],
            1,
            "cat: nothing: No such file or directory\n",
        ),
    ] {
        let ended = run_package(&package, &[], args);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(code), error),
            "{args:?}"
        );
        assert_eq!(ended.stdout, "", "{args:?}");
    }
}

#[test]
fn a_program_may_start_another_by_a_line_for_the_shell() {
    let folder = project(&[(
        "app.py",
        "import os, subprocess\n\
        os.environ['X'] = '1'\n\
        print(subprocess.check_output('python -c \"import sys; print(sys.argv[1:])\" a$X', shell=True, text=True).strip())\n\
        print(subprocess.check_output(['echo', 'listed'], text=True).strip(), subprocess.call('exit 7', shell=True))\n",
    )]);
    let mut command = pywasm(["run"]);
    command.arg(folder.path());
    let Ended {
        code,
        stdout,
        stderr,
    } = run(command);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "['a1']\nlisted 7\n"),
        "{stderr}"
    );
}

#[test]
fn such_a_line_has_folders_and_several_programs() {
    let folder = project(&[(
        "app.py",
        "import subprocess\n\
        def line(text):\n\
        \x20   ended = subprocess.run(text, shell=True, capture_output=True, text=True)\n\
        \x20   print(ended.returncode, ended.stdout.split(), ended.stderr.strip())\n\
        line('cd /tmp && pwd')\n\
        line('cd /nope && pwd')\n\
        line('echo a; echo b && python -c \"raise SystemExit(3)\" || echo c')\n\
        line('false && echo never')\n\
        line('true || echo never')\n\
        line('A=1 printenv A')\n\
        line('env B=2 python -c \"import os; print(os.environ[\\'B\\'])\"')\n\
        line('printenv NOT_THERE')\n",
    )]);
    let mut command = pywasm(["run"]);
    command.arg(folder.path());
    let Ended { stdout, stderr, .. } = run(command);
    let expected = "0 ['/tmp'] \n\
        2 [] sh: cd: /nope: No such file or directory\n\
        0 ['a', 'b', 'c'] \n\
        1 [] \n\
        0 [] \n\
        0 ['1'] \n\
        0 ['2'] \n\
        1 [] \n";
    assert_eq!(stdout, expected, "{stderr}");
}

#[test]
fn names_in_what_the_shell_says_are_escaped() {
    let code = "import subprocess; subprocess.run('a\\x1b[31mb; cat \"c\\nd\"; ls \"e\\x1bf\"', shell=True)";
    let ended = python(["-c", code]);
    for line in ["sh: a\\x1b[31mb: `", "cat: c\\nd: ", "ls: e\\x1bf: "] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}
