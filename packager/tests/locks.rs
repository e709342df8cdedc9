//! Lock files: written, followed, and refused when they do not fit.

mod support;

use pywasm_packager::{LockUse, PackSettings, PlanError, Project, Silent};
use std::fs;
use std::path::Path;
use support::index::{Index, Offer};
use support::person::{Person, packages};
use support::wheel::wheel;
use support::{NoBuilds, base};
use tempfile::TempDir;

fn index() -> Index {
    let index = Index::start();
    index.publish_wheels(&[
        wheel("app", "1.0").requires("lib"),
        wheel("lib", "1.0"),
        wheel("lib", "1.1"),
    ]);
    index
}

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (name, text) in files.iter().chain(&[("app.py", "")]) {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn chosen(folder: &Path, settings: &PackSettings) -> Result<Vec<String>, PlanError> {
    let project = Project::open(folder)?;
    let plan = project.plan(settings, &base(), &NoBuilds, &Silent)?;
    Ok(packages(&plan))
}

fn lock(folder: &Path, settings: &PackSettings) -> String {
    let project = Project::open(folder).expect("a project");
    let (text, _) = project
        .lock(settings, &base(), &NoBuilds, &Silent)
        .unwrap_or_else(|error| panic!("{error}"));
    fs::write(folder.join("pylock.toml"), &text).expect("written");
    text
}

#[test]
fn a_lock_keeps_what_was_chosen_and_the_files_it_was_chosen_from() {
    let index = index();
    let person = Person::new(&index);
    let settings = person.settings();
    let app = project(&[("requirements.txt", "app\nlib<1.1\n")]);
    let text = lock(app.path(), &settings);
    assert!(text.starts_with("lock-version = \"1.0\"\n"), "{text}");
    let newer = Person::new(&index);
    index.publish_wheels(&[wheel("app", "1.0").requires("lib"), wheel("app", "2.0")]);
    let settings = newer.settings();
    assert_eq!(
        chosen(app.path(), &settings).expect("locked"),
        ["app 1.0", "lib 1.0"]
    );
    let anew = PackSettings {
        lock: LockUse::Ignore,
        ..settings.clone()
    };
    assert_eq!(
        chosen(app.path(), &anew).expect("anew"),
        ["app 2.0", "lib 1.0"]
    );
    // Another file under the same name is not what was locked.
    let other = wheel("lib", "1.0").file("lib/evil.py", b"");
    index.publish("lib", support::index::Form::Json, &[Offer::of(&other)]);
    let error = chosen(app.path(), &Person::new(&index).settings())
        .expect_err("another file")
        .to_string();
    assert!(error.contains("--hash"), "{error}");
}

#[test]
fn a_lock_is_the_same_whoever_writes_it() {
    let index = index();
    let files = [("requirements.txt", "app\n")];
    let (one, other) = (project(&files), project(&files));
    assert_eq!(
        lock(one.path(), &Person::new(&index).settings()),
        lock(other.path(), &Person::new(&index).settings())
    );
}

#[test]
fn a_lock_that_does_not_fit_is_refused() {
    let index = index();
    let settings = Person::new(&index).settings();
    let app = project(&[("requirements.txt", "app\n")]);
    let must = PackSettings {
        lock: LockUse::Require,
        ..settings.clone()
    };
    let error = |settings: &PackSettings| {
        chosen(app.path(), settings)
            .expect_err("refused")
            .to_string()
    };
    assert!(error(&must).contains("there is no pylock.toml; write it with `pywasm lock`"));
    lock(app.path(), &settings);
    assert_eq!(
        chosen(app.path(), &must).expect("locked"),
        ["app 1.0", "lib 1.1"]
    );
    fs::write(app.path().join("requirements.txt"), "lib\n").expect("written");
    assert!(error(&settings).contains("the requirements have changed since it was written"));
    for (text, part) in [
        (
            "lock-version = '2.0'\ncreated-by = 'x'\n",
            "its lock-version is 2.0",
        ),
        ("lock-version", "pylock.toml: "),
        (
            "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\n",
            "a has no version",
        ),
        (
            "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\nversion = '1'\n",
            "a 1 has no file with a sha256",
        ),
    ] {
        fs::write(app.path().join("pylock.toml"), text).expect("written");
        let error = error(&settings);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_lock_of_another_tool_is_followed_as_it_is() {
    let index = index();
    let digest = Offer::of(&wheel("lib", "1.0")).sha256.unwrap_or_default();
    let text = format!(
        "lock-version = '1.0'\ncreated-by = 'other'\n[[packages]]\nname = 'lib'\nversion = '1.0'\nindex = 'https://x'\n[[packages.wheels]]\nname = 'lib-1.0-py3-none-any.whl'\nhashes = {{sha256 = '{digest}'}}\n[[packages]]\nname = 'winonly'\nversion = '1'\nmarker = \"sys_platform == 'win32'\"\n[[packages.wheels]]\nhashes = {{sha256 = '{digest}'}}\n"
    );
    let app = project(&[("requirements.txt", "lib\n"), ("pylock.toml", &text)]);
    assert_eq!(
        chosen(app.path(), &Person::new(&index).settings()).expect("followed"),
        ["lib 1.0"]
    );
}

#[test]
fn uv_lock_decides_the_versions_of_what_pyproject_requires() {
    let index = index();
    let digest = Offer::of(&wheel("lib", "1.0")).sha256.unwrap_or_default();
    let uv = format!(
        "version = 1\n[[package]]\nname = 'mine'\nversion = '0'\nsource = {{ virtual = '.' }}\n[[package]]\nname = 'lib'\nversion = '1.0'\nsource = {{ registry = 'https://x' }}\nwheels = [{{ url = 'https://x', hash = 'sha256:{digest}' }}]\n[[package]]\nname = 'devtool'\nversion = '9'\nsource = {{ registry = 'https://x' }}\n"
    );
    let app = project(&[
        (
            "pyproject.toml",
            "[project]\nname = 'mine'\nversion = '0'\ndependencies = ['app']\n",
        ),
        ("uv.lock", &uv),
    ]);
    assert_eq!(
        chosen(app.path(), &Person::new(&index).settings()).expect("locked"),
        ["app 1.0", "lib 1.0"]
    );
}

#[test]
fn a_dockerfile_may_have_uv_or_poetry_install_the_project() {
    let index = index();
    let person = Person::new(&index);
    let pyproject = "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"lib\"]\n[project.optional-dependencies]\nweb = [\"app\"]\n";
    let digest = Offer::of(&wheel("lib", "1.0")).sha256.unwrap_or_default();
    let uv = format!(
        "version = 1\n[[package]]\nname = 'lib'\nversion = '1.0'\nsource = {{ registry = 'https://x' }}\nwheels = [{{ url = 'https://x', hash = 'sha256:{digest}' }}]\n"
    );
    let bound = "FROM python:3\nWORKDIR /app\nRUN --mount=type=bind,source=pyproject.toml,target=pyproject.toml --mount=type=bind,source=uv.lock,target=uv.lock uv sync --frozen --extra web\nCOPY app.py .\n";
    let files = |dockerfile: &'static str| {
        project(&[
            ("pyproject.toml", pyproject),
            ("uv.lock", &uv),
            // Not what such tools install.
            ("requirements.txt", "app\n"),
            ("Dockerfile", dockerfile),
        ])
    };
    let settings = person.settings();
    let found = |dockerfile| chosen(files(dockerfile).path(), &settings);
    assert_eq!(found(bound).expect("planned"), ["app 1.0", "lib 1.0"]);
    assert_eq!(
        found("FROM ghcr.io/astral-sh/uv:python3.14-bookworm AS builder\nWORKDIR /app\nCOPY . .\nRUN uv sync\nFROM python:3\nWORKDIR /app\nCOPY --from=builder /app/.venv /app/.venv\nCOPY . .\n")
            .expect("planned"),
        ["lib 1.0"]
    );
    let missing = found("FROM python:3\nWORKDIR /app\nCOPY app.py .\nRUN poetry install\n");
    let missing = missing.expect_err("no pyproject.toml there").to_string();
    assert!(
        missing.contains("`poetry` reads /app/pyproject.toml, which no COPY puts there"),
        "{missing}"
    );
    // As `docker init` writes it.
    let pip = "FROM python:3\nWORKDIR /app\nRUN --mount=type=cache,target=/root/.cache/pip --mount=type=bind,source=requirements.txt,target=requirements.txt python -m pip install -r requirements.txt\nUSER appuser\nCOPY . .\nCMD python app.py\n";
    assert_eq!(found(pip).expect("planned"), ["app 1.0", "lib 1.1"]);
}
