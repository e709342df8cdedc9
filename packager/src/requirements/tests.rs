use super::*;
use std::fs;

fn read_files(files: &[(&str, &str)]) -> Result<RequirementSet, String> {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    let env = BTreeMap::from([("USER_NAME".to_owned(), "me".to_owned())]);
    let first = RequirementInput::File(dir.path().join(files[0].0));
    let machine = BTreeMap::from([("SECRET".to_owned(), "x".to_owned())]);
    let variables = Variables {
        given: &env,
        of_machine: &machine,
    };
    RequirementSet::read(&[first], variables, None).map_err(|error| {
        error
            .to_string()
            .replace(&format!("{}/", dir.path().display()), "")
    })
}

fn shown(set: &RequirementSet) -> Vec<String> {
    set.requirements
        .iter()
        .map(|asked| asked.requirement.to_string())
        .collect()
}

#[test]
fn lines_of_all_kinds() {
    let set = read_files(&[(
        "requirements.txt",
        "# comment\nFlask==2.0.1  # pinned\nrequests[socks,security] >=2, \\\n    <3\n\nrich ; sys_platform == 'wasi'\nDjango~=4.2\nurl#not-a-comment @ x\n",
    )]);
    // The last line is a direct reference in disguise and no valid address.
    assert!(set.is_err_and(|error| error.starts_with("requirements.txt:8:")));
    let set = read_files(&[(
        "requirements.txt",
        "\u{feff}# comment\nFlask==2.0.1  # pinned\nrequests[socks,security] >=2, \\\n    <3\n\nrich ; sys_platform == 'wasi'\nDjango~=4.2\n",
    )])
    .expect("understood");
    assert_eq!(
        shown(&set),
        [
            "flask==2.0.1",
            "requests[socks,security]>=2,<3",
            "rich ; sys_platform == 'wasi'",
            "django~=4.2",
        ]
    );
    let origins: Vec<_> = set
        .requirements
        .iter()
        .map(|asked| asked.origin.line)
        .collect();
    assert_eq!(origins, [Some(2), Some(3), Some(6), Some(7)]);
}

#[test]
fn files_within_files() {
    let set = read_files(&[
        (
            "requirements.txt",
            "-r sub/more.txt\n--constraint=limits.txt\n-rrequirements.txt\na\n",
        ),
        ("sub/more.txt", "b\n-r ../last.txt\n"),
        ("last.txt", "c\n"),
        ("limits.txt", "d<2\n"),
    ])
    .expect("understood");
    assert_eq!(shown(&set), ["b", "c", "a"]);
    assert_eq!(set.constraints.len(), 1);
    let error = read_files(&[("a.txt", "x\n-r gone.txt\n")])
        .err()
        .unwrap_or_default();
    assert!(
        error.starts_with("a.txt:2: gone.txt cannot be read"),
        "{error}"
    );
}

#[test]
fn index_options_and_variables() {
    let set = read_files(&[
        (
            "requirements.txt",
            "-i https://${USER_NAME}:${UNSET}@index.example/simple\n--extra-index-url=https://b.example\n-f wheels\n--find-links https://c.example/x.html\n--pre\n--require-hashes\n--no-index\n--only-binary :all:\n",
        ),
        ("wheels/readme", ""),
    ])
    .expect("understood");
    let options = &set.options;
    assert_eq!(
        options.index_url.as_deref(),
        Some("https://me:${UNSET}@index.example/simple")
    );
    assert_eq!(options.extra_index_urls, ["https://b.example"]);
    assert!(
        options.find_links[0].ends_with("/wheels"),
        "{:?}",
        options.find_links
    );
    assert_eq!(options.find_links[1], "https://c.example/x.html");
    assert!(options.pre && options.require_hashes && options.no_index);
    assert_eq!(set.notes.len(), 1);
}

#[test]
fn hashes() {
    let digits = "0".repeat(64);
    let set = read_files(&[(
        "requirements.txt",
        &format!("a==1 \\\n    --hash=sha256:{digits} \\\n    --hash=sha512:11\nb==2\n"),
    )])
    .expect("understood");
    assert_eq!(set.requirements[0].hashes.len(), 1);
    assert!(set.requires_hashes());
}

#[test]
fn refusals_name_the_line_and_the_way_out() {
    for (line, part) in [
        ("-e .", "only a folder can be named so"),
        (
            "git+https://user:secret@host.example/x.git#egg=x",
            "`git+https://host.example/x.git#egg=x` is a repository",
        ),
        ("x @ git+https://host.example/x.git", "is a repository"),
        (
            "x @ ftp://host.example/x-1.tar.gz",
            "only http, https and file",
        ),
        (
            "https://host.example/archive/0a1b2c.tar.gz",
            "does not say in its name which version of which package",
        ),
        (
            "x @ https://host.example/y-1-py3-none-any.whl",
            "does not say in its name which version of which package",
        ),
        (
            "https://host.example/x-1-py3-none-any.whl#sha256=12",
            "holds no sha256 of 64 digits",
        ),
        ("./nowhere", "`./nowhere` cannot be read"),
        ("/usr", "`/usr` is a folder of this machine"),
        ("--no-binary a/b", "names no package"),
        ("--trusted-host host.example", "check of certificates"),
        ("--frobnicate", "is no option"),
        ("flask=1", "is not a requirement"),
        ("flask --global-option=x", "only --hash is"),
        ("flask --hash=md5:00", "is not a hash"),
        ("flask --hash=sha512:00", "no sha256 among them"),
        ("-r", "lacks its value"),
    ] {
        let error = read_files(&[("requirements.txt", &format!("ok\n{line}\n"))])
            .err()
            .unwrap_or_default();
        assert!(
            error.starts_with("requirements.txt:2: ") && error.contains(part),
            "{line}: {error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn pre_releases_are_allowed_by_naming_one() {
    let names = |text: &str| names_pre_release(&text.parse().expect("a requirement"));
    assert!(names("a>=1.0rc1") && names("a==1.0.dev1"));
    assert!(!names("a>=1.0") && !names("a<2.0a1") && !names("a!=1.0b1") && !names("a"));
}

#[test]
fn old_metadata_is_repaired() {
    let fixed = |text: &str| fix_legacy(text).map(|requirement| requirement.to_string());
    assert_eq!(fixed("a (>=1.0.*)"), Some("a>=1.0".into()));
    assert_eq!(
        fixed("a>=1.*,!=1.5.* ; os_name == 'posix'"),
        Some("a>=1,!=1.5.* ; os_name == 'posix'".into())
    );
    assert_eq!(fixed("not a requirement"), None);
}

proptest::proptest! {
    #[test]
    fn files_of_any_kind(
        text in r#"((-r|-c|-e|--hash|--index-url|-f|[a-z]{1,3})?[ a-z0-9\[\]<>=!~;,.@:/"'()$\{\}#\\-]{0,30}\n){0,6}"#
    ) {
        let _ = read_files(&[("requirements.txt", &text)]);
    }
}

#[test]
fn a_variable_that_was_not_given_is_told_to_nobody() {
    let told = |line: &str| read_files(&[("requirements.txt", line)]).expect_err(line);
    for line in [
        "-i https://a.example/${SECRET}/",
        "x @ https://${SECRET}.example/x-1.tar.gz",
    ] {
        let error = told(line);
        assert!(error.contains("--requirement-env SECRET"), "{error}");
        assert!(error.starts_with("requirements.txt:1: "), "{error}");
    }
}
