//! What the command says: snapshots of exit code and output.

use crate::support::{Ended, project, python, pywasm, run};

fn shown(ended: Ended) -> String {
    format!(
        "code {:?}\n--- stdout\n{}--- stderr\n{}",
        ended.code, ended.stdout, ended.stderr
    )
}

/// The lines, each after `pywasm`, and what is shown for it.
fn said_to(lines: &[&str]) -> String {
    let said = |line: &&str| {
        let ended = run(pywasm(line.split(' ')));
        format!("$ pywasm {line}\n{}\n", shown(ended))
    };
    lines.iter().map(said).collect()
}

/// What the first start on a machine says besides is not what is looked at.
fn start_once() {
    assert_eq!(python(["-c", ""]).code, Some(0));
}

#[test]
fn a_docker_flag_that_cannot_be_had_is_refused_with_the_reason() {
    let said = said_to(&[
        "run --privileged app.pkg",
        "run -dit app.pkg",
        "run --network host app.pkg",
        "run --add-host db:192.0.2.1 app.pkg",
        "run --no-such-flag app.pkg",
        "run --volum .:/a app.pkg",
        "build --no-cache .",
        "build --platform linux/amd64 .",
        "build --no-such-flag .",
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn a_docker_verb_that_is_not_there_is_refused_with_the_reason() {
    let said = said_to(&[
        "ps -a",
        "logs -f web",
        "stop web",
        "restart web",
        "rm -f web",
        "exec -it web sh",
        "cp web:/data .",
        "compose up -d",
        "network create net",
        "image ls",
        "buildx build .",
        "info",
        "volume create data",
        "volume prune",
        "runn app.pkg",
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn mistakes_are_named() {
    start_once();
    insta::assert_snapshot!("port", shown(run(pywasm(["run", "-p", "5000", "x.pkg"]))));
    insta::assert_snapshot!("memory", shown(run(pywasm(["run", "-m", "64x", "x.pkg"]))));
    insta::assert_snapshot!(
        "volume",
        shown(run(pywasm(["run", "-v", "da ta:/data", "x.pkg"])))
    );
    let folder = project(&[("main.py", "")]);
    let in_folder = |arguments: &[&str]| {
        let mut command = pywasm(arguments);
        command.current_dir(folder.path());
        run(command)
    };
    let packed = in_folder(&["pack", "-q", "-o", "a.pkg", "main.py"]);
    assert_eq!(packed.code, Some(0), "{}", packed.stderr);
    // Of a project it is what is packed.
    let Ended { stderr, .. } = in_folder(&["run", "--entrypoint", "python main.py", "a.pkg"]);
    insta::assert_snapshot!("entrypoint", stderr.lines().last().unwrap_or_default());
    insta::assert_snapshot!("missing", shown(run(pywasm(["run", "no-such.pkg"]))));
    insta::assert_snapshot!(
        "mount",
        shown(python(["--volume", "/no/such:/data", "-c", ""]))
    );
}

#[test]
fn values_that_cannot_be_are_refused_with_those_that_can() {
    start_once();
    let said = said_to(&[
        "run --fuel=-5 x.pkg",
        "run --workers=0 x.pkg",
        "run --max-sockets=-1 x.pkg",
        "run -m 1 x.pkg",
        "run -v :/a x.pkg",
        "run -v ./a:/ x.pkg",
        "run --tmpfs / x.pkg",
        "python --tmpfs /a --volume .:/a -c 1",
        "python --volume .:/data --workdir /data/nope -c 1",
        "python --workdir /dev/null -c 1",
        "python --env-file nope -c 1",
        "python --policy nope -c 1",
        "run nope.py",
        "dev nope.py",
        "serve --bind x x.pkg",
        "serve --max-connections 0 x.pkg",
        "reload x",
        "pack -t UP/PER_",
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn a_file_that_is_no_package_is_refused() {
    let folder = project(&[("app.pkg", "not a package")]);
    let mut command = pywasm(["run", "app.pkg"]);
    command.current_dir(folder.path());
    insta::assert_snapshot!(shown(run(command)));
}

#[test]
fn help() {
    for verb in ["run", "pack", "check", "python"] {
        insta::assert_snapshot!(format!("help-{verb}"), shown(run(pywasm([verb, "--help"]))));
    }
}
