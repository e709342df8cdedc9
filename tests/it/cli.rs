//! What the command says: snapshots of exit code and output.

use crate::support::{Ended, project, python, pywasm, run};

fn shown(ended: Ended) -> String {
    format!(
        "code {:?}\n--- stdout\n{}--- stderr\n{}",
        ended.code, ended.stdout, ended.stderr
    )
}

#[test]
fn a_docker_flag_that_cannot_be_had_is_refused_with_the_reason() {
    insta::assert_snapshot!(shown(run(pywasm(["run", "--privileged", "app.pkg"]))));
}

#[test]
fn mistakes_are_named() {
    insta::assert_snapshot!("port", shown(run(pywasm(["run", "-p", "5000", "x.pkg"]))));
    insta::assert_snapshot!("memory", shown(run(pywasm(["run", "-m", "64x", "x.pkg"]))));
    insta::assert_snapshot!(
        "volume",
        shown(run(pywasm(["run", "-v", "da ta:/data", "x.pkg"])))
    );
    insta::assert_snapshot!("missing", shown(run(pywasm(["run", "no-such.pkg"]))));
    insta::assert_snapshot!(
        "mount",
        shown(python(["--volume", "/no/such:/data", "-c", ""]))
    );
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
