//! Packages that are built into the interpreter, of which only that release can be used, and wheels made for the guest.

mod support;

use pywasm_format::{Digest, LayerKind, Package, ResolvedPackage};
use pywasm_packager::{Base, Plan, Silent, Status};
use support::index::{Form, Index, Offer};
use support::person::{Person, index, notes, packages};
use support::wheel::{TestWheel, tagged, wheel};
use support::{base, files_of, open};

const LINUX: &str = "cp314-cp314-manylinux_2_17_x86_64";

/// `pydantic-core` as it is published: Python files beside a native module.
fn core(version: &str) -> TestWheel {
    tagged("pydantic-core", version, LINUX)
        .file("pydantic_core/_core.cpython-314-x86_64-linux-gnu.so", b"x")
}

/// A package of models, each release with its own release of the core.
fn models() -> Vec<TestWheel> {
    let model =
        |version, core: &str| wheel("model", version).requires(&format!("pydantic-core=={core}"));
    vec![
        wheel("web", "1.0").requires("model>=1.5"),
        wheel("model", "1.10"),
        model("2.14.3", "2.50.4"),
        model("2.14.4", "2.50.5"),
        core("2.50.4"),
        core("2.50.5"),
    ]
}

fn with(more: Vec<TestWheel>) -> Index {
    let index = Index::start();
    index.publish_wheels(&[models(), more].concat());
    index
}

/// The digest of the interpreter that a plan's package has, and the package.
fn packed(person: &Person, plan: &Plan) -> (Digest, Package) {
    let path = person.home.path().join("a.pkg");
    let built = plan.build(&base(), &Silent).expect("built");
    built.write(&path).expect("written");
    let package = open(&path);
    let runtime = package.layer(LayerKind::Runtime).expect("an interpreter");
    (runtime.digest(), package)
}

#[test]
fn a_package_that_is_built_in_brings_its_python_files_and_its_base() {
    let index = with(vec![]);
    let person = Person::new(&index);
    let plan = person.plan_file("web").expect("a plan");
    assert_eq!(
        packages(&plan),
        ["model 2.14.4", "pydantic-core 2.50.5", "web 1.0"]
    );
    let (runtime, package) = packed(&person, &plan);
    assert_eq!(runtime, base().runtime(Base::Web).digest);
    let files = files_of(&package, LayerKind::Dependencies);
    let ends = |end| files.keys().any(|path| path.ends_with(end));
    assert!(ends("pydantic_core/__init__.py") && !ends(".so"));
    let left_out = |package: &ResolvedPackage| !package.native_left_out.is_empty();
    assert!(!package.config().packages.iter().any(left_out));
}

#[test]
fn python_that_does_nothing_without_what_is_built_in_brings_its_base_and_is_of_that_release() {
    let index = Index::start();
    let wheels = ["3.1.0", "3.3.9", "3.4.0"].map(|version| Offer::of(&wheel("psycopg", version)));
    // Where no wheel of a release can be taken, its source is no way out either.
    let source = Offer::opaque("psycopg-3.1.0.tar.gz");
    index.publish(
        "psycopg",
        Form::Json,
        &[wheels.as_slice(), &[source]].concat(),
    );
    let mut person = Person::new(&index);
    let plan = person.plan_file("psycopg").expect("a plan");
    assert_eq!(packages(&plan), ["psycopg 3.3.9"]);
    assert_eq!(packed(&person, &plan).0, base().runtime(Base::Full).digest);
    let error = person.error("psycopg==3.1.0");
    assert!(
        error.contains("release 3.3.9 of it is built into the full base"),
        "{error}"
    );
    person.base = Some(Base::Slim);
    let error = person.error("psycopg==3.3.9");
    assert!(
        error.contains("its native code is in the full base; leave out --base slim"),
        "{error}"
    );
}

#[test]
fn without_need_the_base_is_slim() {
    let index = with(vec![tagged("markupsafe", "3.0.4", LINUX)]);
    let person = Person::new(&index);
    // Its native code is optional: no reason to carry that of all others.
    let plan = person.plan_file("markupsafe").expect("a plan");
    assert_eq!(packed(&person, &plan).0, base().runtime(Base::Slim).digest);
}

#[test]
fn the_newest_versions_that_go_with_what_is_built_in_are_taken_and_it_is_said() {
    let index = with(vec![
        wheel("model", "2.15.0").requires("pydantic-core==2.51.0"),
        core("2.51.0"),
    ]);
    let plan = Person::new(&index).plan_file("web").expect("a plan");
    assert_eq!(
        packages(&plan),
        ["model 2.14.4", "pydantic-core 2.50.5", "web 1.0"]
    );
    let notes = notes(&plan);
    assert!(
        notes.contains("versions are chosen to go with what is built in: model 2.14.4, not 2.15.0; pydantic-core 2.50.5, not 2.51.0"),
        "{notes}"
    );
}

#[test]
fn another_pin_is_an_error_with_the_built_version_and_the_way_out() {
    let index = with(vec![]);
    let mut person = Person::new(&index);
    let error = person.error("model==2.14.3");
    assert!(
        error.contains("pydantic-core 2.50.4 (model -> pydantic-core): release 2.50.5 of it is built into the web base, and Python would find that before this one; ask for model==2.14.4 with it, or add --override model==2.14.4 --override pydantic-core==2.50.5"),
        "{error}"
    );
    let error = person.error("pydantic-core<2.50.5");
    assert!(error.contains("write pydantic-core==2.50.5"), "{error}");
    // What it says can be done.
    person.versions.overrides = vec!["model==2.14.4".into(), "pydantic-core==2.50.5".into()];
    assert_eq!(
        person.chosen("model==2.14.3\npydantic-core==2.50.4"),
        ["model 2.14.4", "pydantic-core 2.50.5"]
    );
}

#[test]
fn no_major_version_is_given_up_for_what_is_built_in() {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("model", "1.10"),
        wheel("model", "2.15").requires("pydantic-core==2.51.0"),
        core("2.51.0"),
        core("2.50.5"),
    ]);
    let error = Person::new(&index).error("model");
    assert!(error.contains("pydantic-core 2.51.0 (model -> "), "{error}");
}

/// The built-in release of a package itself may be an older major one: who asks for no version takes what is there.
#[test]
fn what_is_built_in_is_taken_though_a_newer_major_version_is_offered() {
    let index = with(vec![core("3.0.0")]);
    let person = Person::new(&index);
    let plan = person.plan_file("pydantic-core").expect("a plan");
    assert_eq!(packages(&plan), ["pydantic-core 2.50.5"]);
    assert!(
        notes(&plan).contains("pydantic-core 2.50.5, not 3.0.0"),
        "{}",
        notes(&plan)
    );
    let error = person.error("pydantic-core>=3");
    assert!(error.contains("release 2.50.5 of it is built"), "{error}");
}

#[test]
fn optional_native_code_of_another_release_runs_on_the_slim_base_alone() {
    let index = with(vec![
        tagged("markupsafe", "3.0.3", LINUX),
        tagged("markupsafe", "3.0.4", LINUX),
    ]);
    let mut person = Person::new(&index);
    assert_eq!(person.chosen("markupsafe==3.0.3"), ["markupsafe 3.0.3"]);
    let error = person.error("markupsafe==3.0.3\nweb");
    assert!(
        error.contains("markupsafe 3.0.3: release 3.0.4 of it is built into the web base"),
        "{error}"
    );
    person.base = Some(Base::Full);
    assert!(person.error("markupsafe==3.0.3").contains("release 3.0.4"));
}

#[test]
fn the_person_can_choose_the_base() {
    let index = with(vec![tagged("markupsafe", "3.0.4", LINUX)]);
    let mut person = Person::new(&index);
    person.base = Some(Base::Full);
    let plan = person.plan_file("markupsafe").expect("a plan");
    assert_eq!(packed(&person, &plan).0, base().runtime(Base::Full).digest);
    person.base = Some(Base::Slim);
    let error = person.error("web");
    assert!(
        error.contains("pydantic-core 2.50.5 (web -> model -> pydantic-core): its native code is in the web base; leave out --base slim"),
        "{error}"
    );
}

#[test]
fn the_base_is_the_smallest_that_has_all_that_is_needed() {
    let numbers = || tagged("numpy", "2.5.5", LINUX);
    let index = with(vec![numbers(), tagged("markupsafe", "3.0.4", LINUX)]);
    let mut person = Person::new(&index);
    let plan = person.plan_file("numpy").expect("a plan");
    assert_eq!(
        packed(&person, &plan).0,
        base().runtime(Base::Scientific).digest
    );
    // The larger has what the smaller has.
    let plan = person.plan_file("numpy\nweb\nmarkupsafe").expect("a plan");
    assert_eq!(
        packed(&person, &plan).0,
        base().runtime(Base::Scientific).digest
    );
    let plan = person.plan_file("web").expect("a plan");
    assert_eq!(packed(&person, &plan).0, base().runtime(Base::Web).digest);
    person.base = Some(Base::Full);
    let error = person.error("numpy");
    assert!(
        error.contains(
            "numpy 2.5.5: its native code is in the scientific base; leave out --base full"
        ),
        "{error}"
    );
}

#[test]
fn a_check_tells_what_is_built_in() {
    let index = with(vec![tagged("markupsafe", "3.0.4", LINUX)]);
    let report = Person::new(&index)
        .check("web\nmarkupsafe\n")
        .expect("a report");
    let told: Vec<_> = report
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package.status))
        .collect();
    assert_eq!(
        told,
        [
            ("markupsafe", Status::BuiltIn),
            ("model", Status::Runs),
            ("pydantic-core", Status::BuiltIn),
            ("web", Status::Runs),
        ]
    );
    assert!(report.packable && report.base == Base::Web);
}

#[test]
fn wheels_made_for_the_guest_come_from_any_place() {
    let own = |version| tagged("fast", version, "cp314-cp314-wasi_0_0_0_wasm32");
    let native = |version| tagged("fast", version, "cp314-cp314-manylinux_2_17_x86_64");
    let public = index(&[native("1.0"), wheel("b", "1.0").requires("fast")]);
    let mut person = Person::new(&public);
    assert!(
        person.error("b").contains("fast 1.0"),
        "nobody built it for the guest"
    );
    let folder = person.home.path().join("wheelhouse");
    own("1.0").file("fast.py", b"").write_to(&folder);
    person.flags.find_links = vec![folder.display().to_string()];
    assert_eq!(person.chosen("b"), ["b 1.0", "fast 1.0"]);

    let wheelhouse = index(&[own("1.0")]);
    let mut person = Person::new(&public);
    person.flags.extra_index_urls = vec![wheelhouse.url()];
    assert_eq!(person.chosen("b"), ["b 1.0", "fast 1.0"]);
}

#[test]
fn native_code_for_the_guest_is_refused_with_the_way_to_have_it() {
    let tags = "cp314-cp314-wasi_0_0_0_wasm32";
    let outcome = |file: &str| {
        let index = with(vec![tagged("odd", "1.0", tags).file(file, b"\0asm")]);
        let person = Person::new(&index);
        let plan = person.plan_file("odd").expect("a plan");
        let built = plan.build(&base(), &Silent);
        built.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(outcome("odd.py"), Ok(()));
    let error = outcome("odd.cpython-314-wasm32-wasi.so").expect_err("native code");
    assert!(error.contains("which loads none at run time"), "{error}");
}

/// `mysqlclient` as it is published: native modules for Windows alone, and the source.
fn mysqlclient(version: &str) -> TestWheel {
    tagged("mysqlclient", version, "cp312-cp312-win_amd64")
        .file("MySQLdb/_mysql.cp312-win_amd64.pyd", b"MZ")
}

fn pymysql(version: &str) -> TestWheel {
    wheel("pymysql", version).extra("rsa", "sealed")
}

#[test]
fn what_a_module_of_ours_is_built_on_is_required_with_the_package_whose_place_it_takes() {
    let index = with(vec![
        mysqlclient("2.3.2"),
        pymysql("1.2.4"),
        wheel("sealed", "1.0"),
    ]);
    let person = Person::new(&index);
    let plan = person.plan_file("mysqlclient").expect("a plan");
    assert_eq!(
        packages(&plan),
        ["mysqlclient 2.3.2", "pymysql 1.2.4", "sealed 1.0"]
    );
    let (_, package) = packed(&person, &plan);
    let files = files_of(&package, LayerKind::Dependencies);
    let ends = |end| files.keys().any(|path| path.ends_with(end));
    assert!(ends("MySQLdb/_mysql.py") && !ends(".pyd"));
    let report = person.check("mysqlclient").expect("a report");
    let way = |name| {
        let mut packages = report.packages.iter();
        let package = packages.find(|package| package.name == name);
        package.expect("chosen").path.join(" -> ")
    };
    assert_eq!(way("pymysql"), "mysqlclient -> pymysql");
    assert_eq!(way("sealed"), "mysqlclient -> pymysql -> sealed");
}

#[test]
fn what_a_module_of_ours_is_built_on_has_the_version_that_all_allow() {
    let index = with(vec![
        mysqlclient("2.3.2"),
        pymysql("1.2.4"),
        pymysql("1.1.1"),
        pymysql("1.0.2"),
        wheel("sealed", "1.0"),
    ]);
    let person = Person::new(&index);
    assert_eq!(
        person.chosen("mysqlclient\npymysql<1.2"),
        ["mysqlclient 2.3.2", "pymysql 1.1.1", "sealed 1.0"]
    );
    let error = person.error("mysqlclient\npymysql==1.0.2");
    assert!(
        error.contains("mysqlclient 2.3.2 needs pymysql >=1.1"),
        "{error}"
    );
}

#[test]
fn a_release_that_no_module_of_ours_fits_is_refused_with_those_that_run() {
    let old = tagged("mysqlclient", "1.3.14", LINUX).file("_mysql.so", b"\x7fELF");
    let index = with(vec![old, mysqlclient("2.3.2"), pymysql("1.2.4")]);
    let error = Person::new(&index).error("mysqlclient==1.3.14");
    assert!(
        error.contains("mysqlclient 1.3.14: it is built on MySQL's library in C, whose place pywasm's own module takes from release 1.4 on; every release since 1.4.4 has wheels and runs: write mysqlclient>=1.4.4"),
        "{error}"
    );
}

/// Whoever builds it for the guest, or has another one in its place, needs nothing of ours.
#[test]
fn a_pure_wheel_requires_what_it_says_itself() {
    let index = with(vec![wheel("mysqlclient", "2.3.2")]);
    assert_eq!(
        Person::new(&index).chosen("mysqlclient"),
        ["mysqlclient 2.3.2"]
    );
}
