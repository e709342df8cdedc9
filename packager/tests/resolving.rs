//! Resolving against an index on loopback.

mod support;

use pywasm_packager::{PlanError, ResolveError};
use support::index::{Form, Index, Metadata, Offer};
use support::person::{Person, index, notes, packages};
use support::wheel::{TestWheel, tagged, wheel};

#[test]
fn dependencies_from_json_and_html_without_fetching_wheels() {
    for form in [Form::Json, Form::Html] {
        let index = Index::start();
        index.publish(
            "app",
            form,
            &[Offer::of(&wheel("app", "1.0").requires("lib>=2"))],
        );
        index.publish(
            "lib",
            form,
            &[
                Offer::of(&wheel("lib", "1.0")),
                Offer::of(&wheel("lib", "2.1")),
            ],
        );
        assert_eq!(Person::new(&index).chosen("App"), ["app 1.0", "lib 2.1"]);
        assert!(
            !index.paths().iter().any(|path| path.ends_with(".whl")),
            "{:?}",
            index.paths()
        );
    }
}

#[test]
fn metadata_is_read_by_ranges_or_from_the_whole_wheel() {
    let big = wheel("app", "1.0")
        .requires("lib")
        .file("app/data", &noise(400_000));
    for ranges in [true, false] {
        let index = index(&[wheel("lib", "1.0")]);
        index.publish(
            "app",
            Form::Html,
            &[Offer {
                metadata: Metadata::None,
                ..Offer::of(&big)
            }],
        );
        if !ranges {
            index.without_ranges();
        }
        assert_eq!(Person::new(&index).chosen("app"), ["app 1.0", "lib 1.0"]);
        let whole = index
            .requests()
            .iter()
            .any(|request| request.path.ends_with("any.whl") && request.range.is_none());
        assert_eq!(whole, !ranges);
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    next.take(length).collect()
}

#[test]
fn specifiers_markers_and_extras() {
    let index = index(&[
        wheel("a", "1.0"),
        wheel("a", "1.5"),
        wheel("a", "2.0"),
        wheel("b", "1.0")
            .requires("a<2 ; sys_platform == 'wasi'")
            .requires("missing ; sys_platform == 'win32'")
            .requires("missing ; python_version < '3.14'")
            .extra("more", "c"),
        wheel("c", "1.0")
            .extra("deep", "d")
            .requires("never ; extra == 'other'"),
        wheel("d", "1.0"),
        wheel("all", "1.0")
            .extra("x", "a")
            .extra("y", "c")
            .extra("both", "all[x,y]"),
    ]);
    let person = Person::new(&index);
    assert_eq!(person.chosen("a"), ["a 2.0"]);
    assert_eq!(person.chosen("a==1.*"), ["a 1.5"]);
    assert_eq!(person.chosen("a!=2.0,>1"), ["a 1.5"]);
    assert_eq!(person.chosen("b"), ["a 1.5", "b 1.0"]);
    assert_eq!(person.chosen("b[more]\na"), ["a 1.5", "b 1.0", "c 1.0"]);
    assert_eq!(
        person.chosen("b[More]\nc[deep]"),
        ["a 1.5", "b 1.0", "c 1.0", "d 1.0"]
    );
    assert_eq!(person.chosen("all[both]"), ["a 2.0", "all 1.0", "c 1.0"]);
    let plan = person
        .plan_file("a[nope]\nc ; os_name == 'nt'\n")
        .expect("resolved");
    assert_eq!(packages(&plan), ["a 2.0"]);
    assert!(
        notes(&plan).contains("a 2.0 has no extra `nope`"),
        "{}",
        notes(&plan)
    );
    assert!(notes(&plan).contains("requirements.txt:2: `c ; os_name == 'nt'` does not apply here"));
}

#[test]
fn versions_are_searched_until_they_fit() {
    let index = index(&[
        wheel("web", "3.0").requires("core>=2"),
        wheel("web", "2.0").requires("core>=1,<2"),
        wheel("plugin", "1.0").requires("core<2"),
        wheel("core", "1.0"),
        wheel("core", "2.0"),
    ]);
    assert_eq!(
        Person::new(&index).chosen("web\nplugin"),
        ["core 1.0", "plugin 1.0", "web 2.0"]
    );
}

#[test]
fn contradictions_are_told_by_their_facts() {
    let index = index(&[
        wheel("web", "3.0").requires("core>=2"),
        wheel("web", "3.1").requires("core>=2"),
        wheel("plugin", "1.0").requires("core<2"),
        wheel("core", "1.0"),
        wheel("core", "2.0"),
    ]);
    let person = Person::new(&index);
    assert_eq!(
        person.error("web>=3\nplugin"),
        "no set of versions meets the requirements:\n\
         \x20 - requirements.txt:1 asks for web>=3\n\
         \x20 - requirements.txt:2 asks for plugin\n\
         \x20 - web (every version) needs core >=2\n\
         \x20 - plugin 1.0 needs core <2"
    );
    let error = person.error("core<2\ncore>=2");
    assert!(
        error.contains(
            "requirements.txt:1 asks for core<2\n  - requirements.txt:2 asks for core>=2"
        ),
        "{error}"
    );
    let error = person.error("core==9");
    assert!(
        error.contains("no version of core ==9 exists; the newest is 2.0"),
        "{error}"
    );
    let error = person.error("cora");
    assert!(
        error.contains("cora is not known to http://127.0.0.1"),
        "{error}"
    );
    assert!(error.contains("is the name right?"), "{error}");
}

#[test]
fn constraints_limit_and_are_named() {
    let index = index(&[
        wheel("a", "1.0").requires("b"),
        wheel("b", "1.0"),
        wheel("b", "2.0"),
    ]);
    let person = Person::new(&index);
    let limits = person.home.path().join("limits.txt");
    std::fs::write(&limits, "b<2\nunused==7\n").expect("written");
    assert_eq!(person.chosen("a\n-c limits.txt"), ["a 1.0", "b 1.0"]);
    let error = person.error("a\nb>=2\n-c limits.txt");
    assert!(
        error.contains("limits.txt:1, which may have to be brought up to date"),
        "{error}"
    );
}

#[test]
fn pre_releases_only_when_wanted_or_alone() {
    let index = index(&[
        wheel("a", "1.0"),
        wheel("a", "2.0rc1"),
        wheel("b", "1.0b1"),
        wheel("c", "1.0").requires("a>=2.0rc1"),
    ]);
    let mut person = Person::new(&index);
    assert_eq!(person.chosen("a"), ["a 1.0"]);
    assert_eq!(person.chosen("a>=2.0rc1"), ["a 2.0rc1"]);
    assert_eq!(person.chosen("c"), ["a 2.0rc1", "c 1.0"]);
    assert_eq!(person.chosen("b"), ["b 1.0b1"]);
    assert_eq!(person.chosen("a\n--pre"), ["a 2.0rc1"]);
    person.flags.pre = true;
    assert_eq!(person.chosen("a"), ["a 2.0rc1"]);
}

#[test]
fn withdrawn_versions_only_when_named() {
    let index = Index::start();
    let yanked = Offer {
        yanked: Some("broken"),
        ..Offer::of(&wheel("a", "2.0"))
    };
    index.publish("a", Form::Html, &[Offer::of(&wheel("a", "1.0")), yanked]);
    let person = Person::new(&index);
    assert_eq!(person.chosen("a"), ["a 1.0"]);
    let plan = person.plan_file("a==2.0").expect("resolved");
    assert_eq!(packages(&plan), ["a 2.0"]);
    assert!(notes(&plan).contains("a 2.0 was withdrawn by its authors (yanked: broken)"));
    let error = person.error("a>1");
    assert!(
        error.contains("2.0 was withdrawn (yanked: broken)"),
        "{error}"
    );
}

#[test]
fn versions_for_other_pythons_are_passed_over() {
    let index = Index::start();
    let new = Offer {
        requires_python: Some(">=3.15"),
        ..Offer::of(&wheel("a", "2.0"))
    };
    let mut hidden = wheel("a", "1.5");
    hidden.requires_python = Some("<3.14".to_owned());
    index.publish(
        "a",
        Form::Html,
        &[Offer::of(&wheel("a", "1.0")), new, Offer::of(&hidden)],
    );
    let person = Person::new(&index);
    let plan = person.plan_file("a").expect("resolved");
    assert_eq!(packages(&plan), ["a 1.0"]);
    assert_eq!(
        notes(&plan),
        "a 1.0 is taken because 2.0 needs Python >=3.15"
    );
    let error = person.error("a>1");
    assert!(error.contains("2.0 needs Python >=3.15"), "{error}");
    assert!(
        error.contains("a 1.5 cannot be used: it needs Python <3.14"),
        "{error}"
    );
}

#[test]
fn what_cannot_run_is_an_error_and_no_old_version() {
    let index = index(&[
        wheel("api", "2.0").requires("model"),
        wheel("api", "1.0"),
        wheel("model", "2.0").requires("core"),
    ]);
    index.publish(
        "core",
        Form::Json,
        &[
            Offer::of(&tagged("core", "2.0", "cp314-cp314-manylinux_2_17_x86_64")),
            Offer::of(&tagged("core", "2.0", "cp314-cp314-win_amd64")),
            Offer::opaque("core-2.0.tar.gz"),
            Offer::of(&wheel("core", "0.1")),
        ],
    );
    index.publish("source", Form::Json, &[Offer::opaque("source-1.0.tar.gz")]);
    index.publish(
        "tool",
        Form::Json,
        &[Offer::of(&tagged(
            "tool",
            "1.0",
            "py3-none-manylinux_2_17_x86_64",
        ))],
    );
    let person = Person::new(&index);
    assert_eq!(
        person.error("api\nsource\ntool"),
        "these packages cannot run in the sandbox:\n\
         \x20 - core 2.0 (api -> model -> core): it is native code, and its wheels are for other machines only; \
         version 0.1 has a wheel that could run: to use it write core==0.1\n\
         \x20 - source 1.0: it has no wheel, and source-1.0.tar.gz cannot be read: unexpected end of file\n\
         \x20 - tool 1.0: it is native code, and its wheels are for other machines only; remove it, or replace it by a package in pure Python"
    );
    let Err(PlanError::Resolve(ResolveError::CannotRun(packages))) = person.plan_file("api") else {
        panic!("refused");
    };
    assert_eq!(packages[0].path, ["api", "model", "core"]);
}

#[test]
fn optional_native_code_does_not_stop_a_package() {
    let index = Index::start();
    index.publish(
        "markupsafe",
        Form::Html,
        &[
            Offer::of(&tagged(
                "markupsafe",
                "3.0",
                "cp313-cp313-manylinux2014_x86_64",
            )),
            Offer::of(&tagged("markupsafe", "3.0", "cp314-cp314-win_amd64")),
            Offer::of(&tagged(
                "markupsafe",
                "3.0",
                "cp314-cp314-manylinux2014_x86_64",
            )),
        ],
    );
    let plan = Person::new(&index)
        .plan_file("MarkupSafe")
        .expect("resolved")
        .to_string();
    assert!(
        plan.contains("markupsafe 3.0  without its optional native parts"),
        "{plan}"
    );
    assert!(
        plan.contains("markupsafe-3.0-cp314-cp314-manylinux2014_x86_64.whl"),
        "{plan}"
    );
}

#[test]
fn the_first_index_that_knows_a_name_has_it_alone() {
    let public = index(&[wheel("ours", "9.0"), wheel("theirs", "1.0")]);
    let company = index(&[wheel("ours", "1.0")]);
    let mut person = Person::new(&public);
    person.flags.extra_index_urls = vec![company.url()];
    assert_eq!(person.chosen("ours\ntheirs"), ["ours 1.0", "theirs 1.0"]);
    assert!(
        !public.paths().contains(&"/simple/ours/".to_owned()),
        "the name is not even told"
    );
}

#[test]
fn folders_of_wheels() {
    let index = index(&[wheel("a", "1.0")]);
    let mut person = Person::new(&index);
    let folder = person.home.path().join("wheels");
    wheel("a", "1.1").requires("b").write_to(&folder);
    wheel("b", "1.0").write_to(&folder);
    person.flags.find_links = vec![folder.display().to_string()];
    assert_eq!(person.chosen("a"), ["a 1.1", "b 1.0"]);
    person.flags.no_index = true;
    let asked = index.paths().len();
    assert_eq!(person.chosen("a"), ["a 1.1", "b 1.0"]);
    assert_eq!(index.paths().len(), asked, "--no-index asks nobody");
    person.flags.find_links = vec![];
    let error = person.error("a");
    assert!(
        error.contains("no index and no --find-links place is given"),
        "{error}"
    );
}

#[test]
fn refused_access_is_not_an_unknown_name() {
    let index = index(&[wheel("a", "1.0")]);
    index.require("Basic bWU6cEBzcw==");
    let error = Person::new(&index).error("a");
    assert!(
        error.contains("refuses access (401)") && error.contains(".netrc"),
        "{error}"
    );
    assert_eq!(
        Person::with_url(index.url_with("me:p%40ss")).chosen("a"),
        ["a 1.0"]
    );
    let wrong = Person::with_url(index.url_with("me:secret")).error("a");
    assert!(
        wrong.contains("refuses access") && !wrong.contains("secret"),
        "{wrong}"
    );
}

#[test]
fn servers_that_falter_are_asked_again() {
    let index = index(&[wheel("a", "1.0")]);
    index.fail("/simple/a/", &[503, 500, 429]);
    assert_eq!(Person::new(&index).chosen("a"), ["a 1.0"]);
    index.fail("/simple/a/", &[500; 50]);
    let error = Person::new(&index).error("a");
    assert!(
        error.contains("a: http://127.0.0.1") && error.contains("answers with status 500"),
        "{error}"
    );
}

#[test]
fn metadata_must_be_the_promised_one() {
    let index = Index::start();
    let forged = wheel("a", "1.0").requires("evil").metadata().into_bytes();
    index.publish(
        "a",
        Form::Json,
        &[Offer {
            metadata: Metadata::Wrong(forged),
            ..Offer::of(&wheel("a", "1.0"))
        }],
    );
    let error = Person::new(&index).error("a");
    assert!(
        error.contains("a-1.0-py3-none-any.whl.metadata is not the file that the index promises"),
        "{error}"
    );
}

#[test]
fn pages_that_are_none() {
    let index = Index::start();
    index.route("/simple/a/", b"hello".to_vec(), "image/png");
    index.route(
        "/simple/b/",
        b"{}".to_vec(),
        "application/vnd.pypi.simple.v1+json",
    );
    index.route(
        "/simple/c/",
        b"{\"meta\":{\"api-version\":\"2.0\"},\"files\":[]}".to_vec(),
        "application/json",
    );
    let person = Person::new(&index);
    for (name, part) in [
        ("a", "its type is `image/png`; is the index address right?"),
        ("b", "missing field"),
        ("c", "its version is 2.0"),
    ] {
        let error = person.error(name);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn offline_uses_what_was_fetched_before() {
    let index = index(&[wheel("a", "1.0").requires("b"), wheel("b", "1.0")]);
    let mut person = Person::new(&index);
    person.flags.offline = true;
    let error = person.error("a");
    assert!(
        error.contains("the index page of a is not in the cache; run once without --offline"),
        "{error}"
    );
    person.flags.offline = false;
    assert_eq!(person.chosen("a"), ["a 1.0", "b 1.0"]);
    index.stop();
    person.flags.offline = true;
    assert_eq!(person.chosen("a"), ["a 1.0", "b 1.0"]);
}

#[test]
fn pages_are_asked_for_again_only_when_they_may_have_changed() {
    let index = index(&[wheel("a", "1.0"), wheel("b", "1.0")]);
    index.header("/simple/a/", "cache-control", "max-age=600, public");
    index.header("/simple/b/", "etag", "\"1\"");
    let person = Person::new(&index);
    assert_eq!(person.chosen("a\nb"), ["a 1.0", "b 1.0"]);
    let before = index.paths();
    assert_eq!(person.chosen("a\nb"), ["a 1.0", "b 1.0"]);
    assert_eq!(index.paths()[before.len()..], ["/simple/b/"]);
}

#[test]
fn hashes_are_asked_for_everything_or_nothing() {
    let (a, b) = (wheel("a", "1.0").requires("b"), wheel("b", "1.0"));
    let index = index(&[a.clone(), b.clone()]);
    let person = Person::new(&index);
    let hash = |wheel: &TestWheel| Offer::of(wheel).sha256.unwrap_or_default();
    let good = format!(
        "a==1.0 --hash=sha256:{}\nb==1.0 --hash=sha256:{}",
        hash(&a),
        hash(&b)
    );
    assert_eq!(person.chosen(&good), ["a 1.0", "b 1.0"]);
    let missing = format!("a==1.0 --hash=sha256:{}", hash(&a));
    let error = person.error(&missing);
    assert!(error.contains("these have none: b"), "{error}");
    let wrong = format!("a==1.0 --hash=sha256:{}", "0".repeat(64));
    let error = person.error(&wrong);
    assert!(
        error.contains("1.0 has no file with one of the --hash values"),
        "{error}"
    );
}

#[test]
fn a_requirement_that_names_its_file_gets_that_file() {
    let index = index(&[
        wheel("a", "1.0"),
        wheel("a", "2.0"),
        wheel("b", "1.0").requires("a<2"),
        wheel("c", "3.0").requires("a"),
    ]);
    let files = index.url().replace("/simple/", "/files/");
    let person = Person::new(&index);
    wheel("c", "3.0").requires("a").write_to(person.home.path());
    let digest = Offer::of(&wheel("a", "1.0")).sha256.unwrap_or_default();
    for text in [
        format!("a @ {files}a-1.0-py3-none-any.whl\nc"),
        format!("{files}a-1.0-py3-none-any.whl#sha256={digest}\n./c-3.0-py3-none-any.whl"),
    ] {
        assert_eq!(person.chosen(&text), ["a 1.0", "c 3.0"], "{text}");
    }
    let wrong = format!(
        "a @ {files}a-1.0-py3-none-any.whl#sha256={}",
        "0".repeat(64)
    );
    let error = person.error(&wrong);
    assert!(error.contains("is not the file that"), "{error}");
    let other = format!("a @ {files}a-2.0-py3-none-any.whl\nb");
    let error = person.error(&other);
    assert!(
        error.contains("b needs a<2") || error.contains("needs a <2"),
        "{error}"
    );
    let twice = format!("a @ {files}a-1.0-py3-none-any.whl\na @ {files}a-2.0-py3-none-any.whl");
    let error = person.error(&twice);
    assert!(
        error.contains("requirements.txt:2: another line takes a from a-1.0"),
        "{error}"
    );
}

#[test]
fn one_index_cannot_have_its_metadata_taken_for_a_file_of_another() {
    let honest = index(&[wheel("a", "1.0")]);
    let liar = index(&[wheel("evil", "1.0")]);
    let forged = wheel("a", "1.0").requires("evil").metadata().into_bytes();
    liar.publish(
        "a",
        Form::Json,
        &[Offer {
            metadata: Metadata::Right(forged),
            ..Offer::of(&wheel("a", "1.0"))
        }],
    );
    let mut person = Person::new(&liar);
    // The lie works where it is told.
    assert_eq!(person.chosen("a"), ["a 1.0", "evil 1.0"]);
    person.flags.index_url = Some(honest.url());
    assert_eq!(person.chosen("a"), ["a 1.0"]);
}

#[test]
fn a_table_of_contents_of_a_megabyte_is_read_by_ranges_too() {
    let index = Index::start();
    let mut large = wheel("large", "1.0");
    for number in 0..12_000 {
        large = large.file(
            &format!("large/a_file_with_a_rather_long_name_{number}.py"),
            b"",
        );
    }
    let offer = Offer {
        metadata: Metadata::None,
        ..Offer::of(&large)
    };
    index.publish("large", Form::Json, &[offer]);
    assert_eq!(Person::new(&index).chosen("large"), ["large 1.0"]);
    let requests = index.requests();
    let of_wheel = || {
        requests
            .iter()
            .filter(|request| request.path.ends_with("any.whl"))
    };
    assert!(
        of_wheel().all(|request| request.range.is_some()),
        "{requests:?}"
    );
    assert!(of_wheel().count() < 10, "{requests:?}");
}
