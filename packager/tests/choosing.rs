//! Which versions are chosen where the newest are not the right ones: as of a day, older ones, the
//! person's own word.

mod support;

use pywasm_packager::{AsOf, OlderVersions, Status};
use support::index::{Form, Index, Offer};
use support::person::{Person, index, notes, packages};
use support::wheel::{TestWheel, tagged, wheel};

/// An app whose template engine has moved on without it.
fn moved_on() -> Vec<TestWheel> {
    vec![
        wheel("app", "1.1").requires("engine>=2").on("2020-04-03"),
        wheel("app", "1.2").requires("engine>=3").on("2021-05-11"),
        wheel("engine", "2.0").on("2020-01-30"),
        wheel("engine", "2.1").on("2021-01-31"),
        wheel("engine", "3.0").on("2021-05-11"),
        wheel("other", "1.0").on("2019-01-01"),
        wheel("other", "1.5").on("2024-01-01"),
    ]
}

#[test]
fn an_old_pin_that_its_dependencies_left_behind_is_resolved_as_of_its_last_day() {
    let index = index(&moved_on());
    let person = Person::new(&index);
    let plan = person.plan_file("other\napp==1.1\n").expect("a plan");
    assert_eq!(packages(&plan), ["app 1.1", "engine 2.1", "other 1.0"]);
    let notes = notes(&plan);
    assert!(
        notes.contains("requirements.txt:2: app==1.1 is of 2020-04-03, and engine, which it needs, has moved from 2.1 to 3.0 since: everything is chosen as of 2021-05-10"),
        "{notes}"
    );
    assert!(!notes.contains("is taken because"), "{notes}");
}

#[test]
fn no_pin_or_a_pin_that_still_holds_is_resolved_as_of_today() {
    let index = index(&moved_on());
    let person = Person::new(&index);
    assert_eq!(person.chosen("app"), ["app 1.2", "engine 3.0"]);
    assert_eq!(person.chosen("app>=1.1,<1.2"), ["app 1.1", "engine 3.0"]);
    assert_eq!(
        person.chosen("app==1.1\nengine<3\nother"),
        ["app 1.1", "engine 2.1", "other 1.5"]
    );
}

#[test]
fn a_day_of_the_persons_own_wins_over_everything() {
    let index = index(&moved_on());
    let mut person = Person::new(&index);
    person.versions.as_of = AsOf::Today;
    assert_eq!(person.chosen("app==1.1"), ["app 1.1", "engine 3.0"]);
    person.versions.as_of = "2020-06-01".parse().expect("a day");
    assert_eq!(person.chosen("app"), ["app 1.1", "engine 2.0"]);
    let error = person.error("app==1.2");
    assert!(
        error.contains("1 came after 2020-06-01 or tell no day (--as-of)"),
        "{error}"
    );
    for wrong in ["yesterday", "2020-6-1"] {
        assert!(wrong.parse::<AsOf>().is_err(), "{wrong}");
    }
}

#[test]
fn where_the_day_has_no_solution_the_newest_are_taken_and_it_is_said() {
    let mut wheels = moved_on();
    wheels.push(wheel("young", "1.0").on("2025-01-01"));
    let index = index(&wheels);
    let plan = Person::new(&index)
        .plan_file("app==1.1\nyoung")
        .expect("a plan");
    assert_eq!(packages(&plan), ["app 1.1", "engine 3.0", "young 1.0"]);
    assert!(notes(&plan).contains("if the app fails at import"));
}

#[test]
fn an_index_without_days_is_no_reason_to_go_back() {
    let index = Index::start();
    for name in ["app", "engine", "other"] {
        let offers: Vec<_> = moved_on()
            .iter()
            .filter(|wheel| wheel.name == name)
            .map(Offer::of)
            .collect();
        index.publish(name, Form::Html, &offers);
    }
    assert_eq!(
        Person::new(&index).chosen("app==1.1"),
        ["app 1.1", "engine 3.0"]
    );
}

/// A framework whose new versions need native code.
fn natives() -> Index {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("web", "1.0").requires("model<2"),
        wheel("web", "2.0").requires("model>=1"),
        wheel("model", "1.9"),
        wheel("model", "2.0").requires("core"),
        wheel("core", "0.0.1"),
        tagged("core", "2.4", "cp314-cp314-manylinux_2_17_x86_64"),
    ]);
    index
}

#[test]
fn older_versions_are_taken_only_when_they_are_allowed() {
    let index = natives();
    let mut person = Person::new(&index);
    let error = person.error("web");
    assert!(
        error.contains("core 2.4 (web -> model -> core): it is native code"),
        "{error}"
    );
    person.versions.older = OlderVersions::Allow;
    let plan = person.plan_file("web").expect("a plan");
    // Not model 2.0 with the empty core 0.0.1.
    assert_eq!(packages(&plan), ["model 1.9", "web 2.0"]);
    assert!(notes(&plan).contains("because core 2.4 cannot: they may be old"));
}

#[test]
fn a_placeholder_is_taken_by_nobody_who_does_not_name_it() {
    let index = natives();
    let mut person = Person::new(&index);
    person.versions.older = OlderVersions::Allow;
    let error = person.error("core");
    assert!(
        error.contains("core 2.4: it is native code") && !error.contains("0.0.1"),
        "{error}"
    );
    assert_eq!(person.chosen("core==0.0.1"), ["core 0.0.1"]);
}

#[test]
fn native_releases_that_are_still_at_zero_are_no_placeholders() {
    let index = index(&[
        wheel("zero", "0.0.1"),
        tagged("zero", "0.0.2", "cp314-cp314-manylinux_2_17_x86_64"),
        tagged("zero", "0.0.100", "cp314-cp314-manylinux_2_17_x86_64"),
    ]);
    let person = Person::new(&index);
    for (asked, version) in [("zero", "0.0.100"), ("zero<0.0.50", "0.0.2")] {
        let error = person.error(asked);
        assert!(
            error.contains(&format!("zero {version}: it is native code")),
            "{error}"
        );
    }
}

#[test]
fn overrides_and_excludes_are_the_last_word() {
    let index = index(&[
        wheel("app", "1.0").requires("lib>=2").requires("speed"),
        wheel("lib", "1.0"),
        wheel("lib", "2.0"),
        wheel("speed", "1.0").requires("deep"),
        wheel("deep", "1.0"),
    ]);
    let mut person = Person::new(&index);
    person.versions.overrides = vec!["lib<2".to_owned()];
    person.versions.excludes = vec!["Speed".to_owned()];
    assert_eq!(person.chosen("app"), ["app 1.0", "lib 1.0"]);
    person.versions.excludes = vec!["no name".to_owned()];
    assert!(person.error("app").contains("is no name of a package"));
}

#[test]
fn a_check_tells_of_everything_what_becomes_of_it() {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("web", "2.0").requires("fast").requires("markupsafe"),
        tagged("fast", "1.0", "cp314-cp314-manylinux_2_17_x86_64"),
        wheel("fast", "0.9"),
        tagged("markupsafe", "3.0", "cp314-cp314-manylinux_2_17_x86_64"),
        tagged("uvloop", "1.0", "cp314-cp314-manylinux_2_17_x86_64"),
    ]);
    index.publish("old", Form::Json, &[Offer::opaque("old-1.0.tar.gz")]);
    let person = Person::new(&index);
    let report = person.check("web\nold\nuvloop\n").expect("a report");
    let told: Vec<_> = report
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package.status))
        .collect();
    assert_eq!(
        told,
        [
            ("fast", Status::CannotRun),
            ("markupsafe", Status::RunsWithoutNativeParts),
            ("old", Status::NeedsBuild),
            ("uvloop", Status::CannotRun),
            ("web", Status::Runs),
        ]
    );
    assert!(!report.packable);
    assert_eq!(report.packages[0].path, ["web", "fast"]);
    assert_eq!(report.packages[0].runnable_version.as_deref(), Some("0.9"));
    assert!(
        report.packages[3]
            .instead
            .as_ref()
            .is_some_and(|text| text.contains("--exclude uvloop"))
    );
    assert!(
        !index.paths().iter().any(|path| path.ends_with(".whl")),
        "{:?}",
        index.paths()
    );
}

#[test]
fn what_a_package_does_without_is_left_out_unless_the_person_asks_for_it() {
    let index = index(&[
        wheel("uvicorn", "1.0").extra("standard", "uvloop>=0.15"),
        wheel("other", "1.0").requires("uvloop"),
    ]);
    index.publish_wheels(&[tagged("uvloop", "1.0", "cp314-cp314-manylinux_2_17_x86_64")]);
    let person = Person::new(&index);
    let plan = person.plan_file("uvicorn[standard]").expect("a plan");
    assert_eq!(packages(&plan), ["uvicorn 1.0"]);
    let notes = notes(&plan);
    assert!(
        notes.contains(
            "uvloop is left out, uvicorn does without it: asyncio's own event loop is used"
        ),
        "{notes}"
    );
    for asked in ["uvicorn[standard]\nuvloop", "uvicorn[standard]\nother"] {
        let error = person.error(asked);
        assert!(error.contains("uvloop 1.0"), "{error}");
    }
}

#[test]
fn pictures_in_heic_are_done_without() {
    let index = index(&[
        wheel("wagtail", "1.0").requires("willow[heif]"),
        wheel("willow", "1.0").extra("heif", "pillow-heif"),
    ]);
    index.publish_wheels(&[tagged(
        "pillow-heif",
        "1.0",
        "cp314-cp314-manylinux_2_17_x86_64",
    )]);
    let chosen = Person::new(&index).chosen("wagtail");
    assert_eq!(chosen, ["wagtail 1.0", "willow 1.0"]);
}
