//! Against the real index, as configured for pip on this machine.

mod support;

use pywasm_packager::{PackSettings, Project, Silent};
use support::{NoBuilds, base, machine_of_this_process};

fn names_of(requirements: &[&str]) -> Vec<String> {
    let requirements: Vec<String> = requirements.iter().map(|text| (*text).to_owned()).collect();
    let cache = tempfile::tempdir().expect("a folder");
    let settings = PackSettings {
        machine: machine_of_this_process(cache.path()),
        ..PackSettings::default()
    };
    let output = cache.path().join("out.pkg");
    let plan = Project::requirements_only(&requirements, &[])
        .plan(&settings, &base(), &NoBuilds, &Silent)
        .unwrap_or_else(|error| panic!("{error}"));
    plan.build(&base(), &Silent)
        .and_then(|built| built.write(&output))
        .unwrap_or_else(|error| panic!("{error}"));
    support::open(&output)
        .config()
        .packages
        .iter()
        .map(|package| package.name.clone())
        .collect()
}

#[test]
fn registry_flask() {
    let names = names_of(&["Flask"]);
    for name in [
        "blinker",
        "click",
        "flask",
        "itsdangerous",
        "jinja2",
        "markupsafe",
        "werkzeug",
    ] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is missing in {names:?}"
        );
    }
}

#[test]
fn registry_django() {
    let names = names_of(&["Django>=5"]);
    assert_eq!(names, ["asgiref", "django", "sqlparse"]);
}
