//! Projects as people have them, packed without requirements: what goes in, what stays out, what starts.

mod support;

use pywasm_format::LayerKind;
use pywasm_packager::{DockerfileUse, PackSettings, Plan, Project, Silent};
use std::fs;
use std::path::Path;
use support::{NoBuilds, bare_machine, base, files_of, open};
use tempfile::TempDir;

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("a folder");
        fs::write(path, text).expect("written");
    }
    folder
}

fn settings() -> PackSettings {
    PackSettings {
        machine: bare_machine(Path::new("/nowhere")),
        ..PackSettings::default()
    }
}

fn plan_of(path: &Path, settings: &PackSettings) -> Result<Plan, String> {
    let prefix = format!("{}/", path.canonicalize().unwrap_or_default().display());
    Project::open(path)
        .map_err(|error| error.to_string())?
        .plan(settings, &base(), &NoBuilds, &Silent)
        .map_err(|error| error.to_string().replace(&prefix, ""))
}

fn plan(files: &[(&str, &str)]) -> Result<Plan, String> {
    plan_of(project(files).path(), &settings())
}

/// The lines of a plan that begin with a word.
fn lines(plan: &Plan, word: &str) -> Vec<String> {
    plan.to_string()
        .lines()
        .filter_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
        .collect()
}

fn starts(files: &[(&str, &str)]) -> String {
    let plan = plan(files).unwrap_or_else(|error| panic!("{error}"));
    lines(&plan, "starts").join("")
}

fn packed_files(plan: &Plan) -> Vec<String> {
    lines(plan, "  ")
        .iter()
        .filter_map(|line| Some(line.split_once(' ')?.1.to_owned()))
        .collect()
}

#[test]
fn what_starts_is_found() {
    assert_eq!(
        starts(&[("app.py", ""), ("main.py", "")]),
        "python app.py  (in /app)"
    );
    assert_eq!(
        starts(&[("main.py", ""), ("manage.py", "")]),
        "python main.py  (in /app)"
    );
    assert_eq!(
        starts(&[("app.py", "from flask import Flask\napp = Flask(__name__)\n")]),
        "flask --app app:app run --host 0.0.0.0 --port 5000  (in /app)"
    );
    assert_eq!(
        starts(&[
            ("main.py", "app = FastAPI()\n"),
            ("Procfile", "web: uwsgi main.ini\n")
        ]),
        "uvicorn main:app --host 0.0.0.0 --port 8000  (in /app)"
    );
    assert_eq!(
        starts(&[
            ("app.py", ""),
            ("Procfile", "web: python -m app --port ${PORT}\n")
        ]),
        "python -m app --port 8000  (in /app)"
    );
    assert_eq!(
        starts(&[("manage.py", "")]),
        "python manage.py runserver 0.0.0.0:8000 --noreload  (in /app)"
    );
    assert_eq!(
        starts(&[("__main__.py", "")]),
        "python __main__.py  (in /app)"
    );
    let error = plan(&[("sub/app.py", "")]).expect_err("nothing to start");
    assert!(
        error.contains(
            "looked for app.py, main.py, manage.py, __main__.py, wsgi.py, asgi.py, a Procfile, a Dockerfile with CMD, an ASGI app in app/main.py, a .py file that is alone and [project.scripts]"
        ),
        "{error}"
    );
    assert!(error.contains("--entrypoint"), "{error}");
    let folder = project(&[("tool.py", "")]);
    let chosen = PackSettings {
        command: Some(vec!["python".into(), "tool.py".into()]),
        ..settings()
    };
    assert!(plan_of(folder.path(), &chosen).is_ok());
    let wrong = PackSettings {
        command: Some(vec!["python".into(), "tol.py".into()]),
        ..settings()
    };
    let error = plan_of(folder.path(), &wrong).expect_err("no such file");
    assert!(
        error.contains("tol.py is not among the files that are packed"),
        "{error}"
    );
}

#[test]
fn a_package_of_a_folder() {
    let folder = project(&[
        ("app.py", "print(1)"),
        ("pkg/__init__.py", ""),
        ("run.sh", "#!"),
    ]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(folder.path().join("run.sh"), mode).expect("set");
    let output = folder.path().join("app.pkg");
    let settings = PackSettings {
        output: Some(output.clone()),
        name: Some("x:1".into()),
        ..settings()
    };
    let plan = || plan_of(folder.path(), &settings).expect("planned");
    let first = plan()
        .build(&base(), &Silent)
        .and_then(|built| built.write(&output))
        .expect("packed");
    let package = open(&output);
    let files = files_of(&package, LayerKind::App);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["app/app.py", "app/pkg/__init__.py", "app/run.sh"]
    );
    assert_eq!(package.name(), Some("x:1"));
    assert_eq!(package.config().entrypoint, ["python", "app.py"]);
    assert_eq!(package.config().python, "3.14.7");
    // The package that lies in the folder now is not packed into the next one.
    assert_eq!(
        plan()
            .build(&base(), &Silent)
            .and_then(|built| built.write(&output))
            .expect("packed")
            .digest,
        first.digest
    );
    // Nor is an older one, whatever it is called; but what somebody asks for is packed.
    fs::rename(&output, folder.path().join("old")).expect("renamed");
    let plan = || plan_of(folder.path(), &settings).expect("planned");
    assert_eq!(
        packed_files(&plan()),
        ["app.py", "pkg/__init__.py", "run.sh"]
    );
    assert_eq!(
        plan().notes()[0].to_string(),
        "old is left out: it is a package of pywasm (to pack it, add the line `!old` to .pywasmignore)"
    );
    fs::write(folder.path().join(".pywasmignore"), "!old\n").expect("written");
    assert!(packed_files(&plan()).contains(&"old".to_owned()));
}

#[test]
fn what_is_left_out() {
    let folder = project(&[
        ("app.py", ""),
        (".git/config", ""),
        ("pkg/__pycache__/x.pyc", ""),
        ("old.pyc", ""),
        ("env/pyvenv.cfg", ""),
        ("env/lib/x.py", ""),
        ("node_modules/x.js", ""),
        (".env", "SECRET=1"),
        ("keys/server.key", "-----BEGIN PRIVATE KEY-----"),
        ("keys/ca.pem", "-----BEGIN CERTIFICATE-----"),
        ("docs/x.md", ""),
        ("docs/keep.md", ""),
        ("templates/.env.example", ""),
        (".dockerignore", "docs\n!docs/keep.md\n"),
    ]);
    std::os::unix::fs::symlink("app.py", folder.path().join("link.py")).expect("a link");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("passwd")).expect("a link");
    std::os::unix::fs::symlink("gone", folder.path().join("gone.py")).expect("a link");
    let plan = plan_of(folder.path(), &settings()).expect("planned");
    assert_eq!(
        packed_files(&plan),
        [
            ".dockerignore",
            "app.py",
            "docs/keep.md",
            "keys/ca.pem",
            "link.py",
            "templates/.env.example"
        ]
    );
    let notes: Vec<_> = plan.notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            ".env is left out: it may hold secrets (to pack it, add the line `!.env` to .pywasmignore)",
            "gone.py is left out: it is a link that leads nowhere",
            "keys/server.key is left out: it may hold secrets (to pack it, add the line `!keys/server.key` to .pywasmignore)",
            "passwd is left out: it is a link that leads out of the project",
        ]
    );
    fs::write(
        folder.path().join(".pywasmignore"),
        "!.env\n*.pem\n**/*.pem\n",
    )
    .expect("written");
    let files = packed_files(&plan_of(folder.path(), &settings()).expect("planned"));
    assert!(files.contains(&".env".to_owned()) && files.contains(&"docs/x.md".to_owned()));
    assert!(!files.contains(&"keys/ca.pem".to_owned()));
}

#[test]
fn empty_folders_are_there_for_what_the_app_will_write() {
    let folders = |dockerfile: Option<&str>, ignored: &str| {
        let folder = project(&[("app.py", ""), (".dockerignore", ignored)]);
        for empty in ["uploads/pictures", "logs", "data"] {
            fs::create_dir_all(folder.path().join(empty)).expect("made");
        }
        fs::write(folder.path().join("logs/old.log"), "").expect("written");
        if let Some(text) = dockerfile {
            fs::write(folder.path().join("Dockerfile"), text).expect("written");
        }
        let plan = plan_of(folder.path(), &settings()).expect("planned");
        let path = folder.path().join("a.pkg");
        let built = plan.build(&base(), &Silent).expect("built");
        built.write(&path).expect("written");
        let package = open(&path);
        let layer = package.layer(LayerKind::App).expect("the layer");
        let mut archive = tar::Archive::new(package.open_layer(layer).expect("readable"));
        let paths = archive.entries().expect("a tar").map(|entry| {
            let entry = entry.expect("an entry");
            entry.path().expect("a path").display().to_string()
        });
        let paths: Vec<String> = paths.collect();
        let holds = |folder: &str| {
            paths
                .iter()
                .any(|path| path != folder && path.starts_with(folder))
        };
        let empty = paths
            .iter()
            .filter(|path| path.ends_with('/') && !holds(path));
        let below = empty.map(|path| path.trim_start_matches("app/").to_owned());
        below.collect::<Vec<_>>()
    };
    let all = ["data/", "logs/", "uploads/pictures/"];
    assert_eq!(folders(None, "**/*.log"), all);
    assert_eq!(folders(None, "**/*.log\ndata\nuploads"), all[1..2]);
    let copied = |line: &str| {
        format!("FROM python:3\nWORKDIR /app\nCOPY app.py .\n{line}\nCMD python app.py\n")
    };
    assert_eq!(folders(Some(&copied("COPY . .")), "**/*.log"), all);
    assert_eq!(
        folders(Some(&copied("COPY uploads up/")), ""),
        ["up/pictures/"]
    );
    assert_eq!(folders(Some(&copied("COPY data/ ./kept")), ""), ["kept/"]);
}

#[test]
fn what_is_not_read_and_another_python_are_told() {
    let notes = |files: &[(&str, &str)]| {
        let plan = plan(files).unwrap_or_else(|error| panic!("{error}"));
        plan.notes()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let app = ("app.py", "");
    for (file, way_out) in [
        (
            "Pipfile",
            "have it written down by `pipenv requirements > requirements.txt`",
        ),
        (
            "requirements/base.txt",
            "write a line `-r requirements/base.txt` to requirements.txt",
        ),
        (
            "setup.py",
            "to have it build and install the project, write a line `.` to requirements.txt",
        ),
    ] {
        let told = format!("{file}: what it requires is not read from it: {way_out}");
        assert_eq!(notes(&[app, (file, "")]), [told]);
        let none: [String; 0] = [];
        assert_eq!(notes(&[app, (file, ""), ("requirements.txt", "")]), none);
    }
    let asks = |text: &str| notes(&[app, ("pyproject.toml", text)]).concat();
    let told = asks("[project]\nname = 'x'\nrequires-python = '>=3.8,<3.12'\n");
    assert!(
        told.ends_with("pyproject.toml: it asks for Python >=3.8,<3.12; the package has 3.14.7, with which it may run or not"),
        "{told}"
    );
    let poetry = |python: &str| {
        asks(&format!(
            "[tool.poetry.dependencies]\npython = '{python}'\n"
        ))
    };
    assert!(poetry("<3.13").contains("asks for Python <3.13;"));
    assert_eq!(
        poetry("^3.9") + &asks("[project]\nname = 'x'\nrequires-python = '>=3.8'\n"),
        ""
    );
}

#[test]
fn a_single_file() {
    let folder = project(&[("tool.py", "print(1)"), ("other.py", "")]);
    let plan = plan_of(&folder.path().join("tool.py"), &settings()).expect("planned");
    assert_eq!(packed_files(&plan), ["tool.py"]);
    assert_eq!(lines(&plan, "starts"), ["python tool.py  (in /app)"]);
    assert_eq!(
        Project::open(&folder.path().join("tool.py"))
            .expect("there")
            .name(),
        "tool"
    );
    fs::write(folder.path().join("data.txt"), "").expect("written");
    let error = Project::open(&folder.path().join("data.txt"))
        .expect_err("no project")
        .to_string();
    assert!(error.contains("neither a folder nor a .py file"), "{error}");
    assert!(Project::open(&folder.path().join("gone")).is_err());
}

const DOCKERFILE: &str = "FROM python:3.8-slim\nWORKDIR /srv/web\nCOPY requirements.txt /tmp/\nRUN pip install -r /tmp/requirements.txt\nCOPY . .\nENV A=1\nEXPOSE 5000\nCMD [\"python\", \"app.py\"]\n";

#[test]
fn a_dockerfile_is_followed() {
    let files = [
        ("Dockerfile", DOCKERFILE),
        ("app.py", ""),
        ("requirements.txt", "# none\n"),
        ("lib/x.py", ""),
    ];
    let plan = plan(&files).expect("planned");
    assert_eq!(lines(&plan, "starts"), ["python app.py  (in /srv/web)"]);
    assert_eq!(lines(&plan, "env"), ["A=1"]);
    assert_eq!(lines(&plan, "exposes"), ["5000/tcp"]);
    assert_eq!(
        packed_files(&plan),
        ["Dockerfile", "app.py", "lib/x.py", "requirements.txt"]
    );
    let folder = project(&files);
    let ignored = PackSettings {
        dockerfile: DockerfileUse::Ignore,
        ..settings()
    };
    let plan = plan_of(folder.path(), &ignored).expect("planned");
    assert_eq!(lines(&plan, "starts"), ["python app.py  (in /app)"]);
    let folder = project(&[("Dockerfile", DOCKERFILE), ("one.py", ""), ("two.py", "")]);
    let error = plan_of(folder.path(), &ignored).expect_err("two to choose from");
    assert!(
        error.contains(r#"the Dockerfile, which is not followed, has `CMD ["python", "app.py"]`"#),
        "{error}"
    );
}

#[test]
fn copy_places_files_as_docker_does() {
    let copied = |copies: &str| {
        let dockerfile = format!("FROM python\nWORKDIR /app\n{copies}\nCMD [\"flask\", \"run\"]\n");
        let files = [
            ("Dockerfile", dockerfile.as_str()),
            ("a.py", ""),
            ("b.py", ""),
            ("src/c.py", ""),
            ("src/sub/d.py", ""),
            ("src/e.txt", ""),
        ];
        match plan(&files) {
            Ok(plan) => packed_files(&plan).join(" "),
            Err(error) => error,
        }
    };
    assert_eq!(copied("COPY a.py ."), "a.py");
    assert_eq!(copied("COPY a.py renamed.py"), "renamed.py");
    assert_eq!(copied("COPY a.py b.py dir/"), "dir/a.py dir/b.py");
    assert_eq!(copied("COPY src ."), "c.py e.txt sub/d.py");
    assert_eq!(copied("COPY src/ src/"), "src/c.py src/e.txt src/sub/d.py");
    assert_eq!(copied("COPY *.py ./"), "a.py b.py");
    assert_eq!(copied("COPY src/*.py /app/x/"), "x/c.py");
    assert_eq!(copied("COPY [\"a.py\", \"b.py\", \"./\"]"), "a.py b.py");
    assert_eq!(copied("COPY --chown=me a.py ."), "a.py");
    assert_eq!(
        copied("COPY src /app\nCOPY a.py /app/c.py"),
        "c.py e.txt sub/d.py"
    );
    for (copies, part) in [
        ("COPY gone.py .", "Dockerfile:3: COPY gone.py: no such file"),
        (
            "COPY ../x .",
            "Dockerfile:3: COPY ../x: files outside the project",
        ),
        (
            "COPY a.py .\nCOPY b.py /etc/",
            "Dockerfile:4: /etc/b.py would lie outside the working folder /app",
        ),
        (
            "COPY a.py .\nRUN pip install -r requirements.txt",
            "Dockerfile:4: `pip install` reads /app/requirements.txt, which no COPY puts there",
        ),
        (
            "COPY a.py .\nRUN pip install -e .",
            "Dockerfile:4: `pip install /app`: there is no pyproject.toml and no setup.py in that folder",
        ),
    ] {
        let error = copied(copies);
        assert!(error.contains(part), "{copies}: {error}");
    }
}

#[test]
fn a_dockerfile_that_forgets_the_app() {
    let error = plan(&[
        ("Dockerfile", "FROM python:latest\nCOPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\nCMD [\"python\", \"app.py\"]\n"),
        ("app.py", ""),
        ("requirements.txt", ""),
    ])
    .expect_err("nothing to start");
    assert!(
        error.contains(
            "app.py is not among the files that are packed; copy it with COPY . . in the Dockerfile"
        ),
        "{error}"
    );
}

#[test]
fn fingerprints_change_with_what_decides() {
    let folder = project(&[("app.py", "1"), ("requirements.txt", "")]);
    let fingerprint = |settings: &PackSettings| {
        let project = Project::open(folder.path()).expect("there");
        project.fingerprint(settings, &base()).expect("readable")
    };
    let first = fingerprint(&settings());
    assert_eq!(fingerprint(&settings()), first);
    assert_ne!(
        fingerprint(&PackSettings {
            name: Some("x".into()),
            ..settings()
        }),
        first
    );
    let mut other = settings();
    other.index.index_url = Some("https://index.example/".into());
    assert_ne!(fingerprint(&other), first);
    fs::write(folder.path().join("requirements.txt"), "flask").expect("written");
    let second = fingerprint(&settings());
    assert_ne!(second, first);
    fs::write(folder.path().join("app.py"), "2").expect("written");
    assert_ne!(fingerprint(&settings()), second);
}

#[test]
fn what_a_dockerfile_arranges_is_packed_so() {
    let app = project(&[
        (
            "Dockerfile",
            "FROM python:3 AS build\nWORKDIR /src\nCOPY . .\nRUN mv web/dist/index.html web/index.html && rm -rf web/dist secret.txt\nFROM python:3\nWORKDIR /app\nCOPY --from=build /src/web static\nCOPY app.py .\nRUN mkdir -p uploads /data && cp app.py static && cd static && cp app.py copy.py\n",
        ),
        ("app.py", "print(1)"),
        ("secret.txt", "x"),
        ("run.sh", "x"),
        ("web/dist/index.html", "x"),
        ("web/style.css", "x"),
    ]);
    let plan = plan_of(app.path(), &settings()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        packed_files(&plan),
        [
            "app.py",
            "static/app.py",
            "static/copy.py",
            "static/index.html",
            "static/style.css"
        ]
    );
    let notes: Vec<_> = plan.notes().iter().map(ToString::to_string).collect();
    assert!(
        notes.iter().any(
            |note| note.contains("/data lies outside the working folder")
                && note.contains("-v NAME:/data")
        ),
        "{notes:?}"
    );
    let built = plan.build(&base(), &Silent).expect("built");
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("x.pkg");
    pywasm_format::write::write_package(&path, &built.spec()).expect("written");
    let files = files_of(&open(&path), LayerKind::App);
    assert!(files.contains_key("app/static/copy.py"), "{files:?}");
}

#[test]
fn files_that_are_not_there_by_then_are_named_with_their_line() {
    for (line, part) in [
        (
            "RUN rm gone.txt",
            "Dockerfile:4: `RUN rm`: there is no /app/gone.txt by then",
        ),
        (
            "RUN mv gone.txt a",
            "Dockerfile:4: `RUN mv`: there is no /app/gone.txt by then",
        ),
        (
            "RUN chmod +x gone.sh",
            "Dockerfile:4: `RUN chmod`: there is no /app/gone.sh by then",
        ),
        (
            "COPY --from=0 /gone .",
            "no stage before this one is called so",
        ),
        (
            "RUN pip install .",
            "Dockerfile:4: `pip install /app`: there is no pyproject.toml and no setup.py in that folder",
        ),
    ] {
        let text = format!(
            "FROM python:3\nWORKDIR /app\nCOPY app.py .\n{line}\nCMD [\"python\", \"app.py\"]"
        );
        let error = plan(&[("Dockerfile", &text), ("app.py", "")]).expect_err(line);
        assert!(error.contains(part), "{error}");
    }
    let text = "FROM python:3 AS a\nCOPY app.py .\nFROM python:3\nCOPY --from=a /app/gone .\n";
    let error = plan(&[("Dockerfile", text), ("app.py", "")]).expect_err("gone");
    assert!(
        error.contains("Dockerfile:4: COPY --from /app/gone: there is no such file"),
        "{error}"
    );
}

#[test]
fn what_a_project_says_for_pywasm_comes_before_its_dockerfile_and_after_flags() {
    let dockerfile =
        "FROM python:3\nCOPY . .\nENV A=1 B=2\nEXPOSE 80\nCMD [\"python\", \"app.py\"]\n";
    let own =
        "[tool.pywasm]\ncommand = 'python other.py --fast'\nexpose = ['81']\nenv = { A = '3' }\n";
    let app = project(&[
        ("Dockerfile", dockerfile),
        ("pyproject.toml", own),
        ("app.py", ""),
        ("other.py", ""),
    ]);
    let plan = plan_of(app.path(), &settings()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        lines(&plan, "starts"),
        ["python other.py --fast  (in /app)"]
    );
    assert_eq!(lines(&plan, "env"), ["B=2", "A=3"]);
    assert_eq!(lines(&plan, "exposes"), ["80/tcp", "81/tcp"]);
    // A pywasm.toml is all there is then.
    fs::write(
        app.path().join("pywasm.toml"),
        "dockerfile = false\ncommand = ['python', 'app.py']\n",
    )
    .expect("written");
    let plan = plan_of(app.path(), &settings()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines(&plan, "starts"), ["python app.py  (in /app)"]);
    assert_eq!(lines(&plan, "env"), [""; 0]);
    let flags = PackSettings {
        command: Some(vec!["python".to_owned(), "other.py".to_owned()]),
        ..settings()
    };
    let plan = plan_of(app.path(), &flags).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines(&plan, "starts"), ["python other.py  (in /app)"]);
    fs::write(app.path().join("pywasm.toml"), "comand = 'x'\n").expect("written");
    let error = plan_of(app.path(), &settings()).expect_err("a typo");
    assert!(
        error.contains("pywasm.toml") && error.contains("unknown field `comand`"),
        "{error}"
    );
}
