//! What a project starts when nobody says it: its Procfile, its known files, the app object in them.

use super::command::{self, Command};
use super::scripts::Scripts;
use super::walk::Found;
use crate::plan::Note;
use pywasm_format::{ExposedPort, Protocol};
use std::num::NonZeroU16;

/// The files that are looked for, in order.
pub(super) const KNOWN: [&str; 6] = [
    "app.py",
    "main.py",
    "manage.py",
    "__main__.py",
    "wsgi.py",
    "asgi.py",
];

/// Where FastAPI's own command line looks beside those, for an app.
const FASTAPI: [&str; 4] = ["api.py", "app/main.py", "app/app.py", "app/api.py"];

const FLASK_PORT: NonZeroU16 = NonZeroU16::new(5000).expect("not zero");
const WEB_PORT: NonZeroU16 = NonZeroU16::new(8000).expect("not zero");

/// Sources larger than this hold data, not an app object.
const LARGEST_SOURCE: u64 = 4 << 20;

/// Servers that fork, and so cannot start here. (gunicorn does too, and the guest's standard library knows it.)
const FORKING: [&str; 2] = ["uwsgi", "circusd"];

/// A command that was found, and what to say of it.
#[derive(Debug, Default)]
pub(super) struct Detected {
    pub(super) command: Option<Command>,
    pub(super) notes: Vec<Note>,
}

/// Finds what to start among a folder's own files. A project with `scripts` is started by them rather than by a module of
/// theirs that does nothing by itself.
pub(super) fn detect(files: &[Found], scripts: &Scripts) -> Detected {
    let mut detected = Detected::default();
    if let Some(text) = source(files, "Procfile") {
        match procfile(&text) {
            Some(Ok(command)) => {
                detected.command = Some(command);
                return detected;
            }
            Some(Err(text)) => detected.notes.push(Note {
                at: Some("Procfile".to_owned()),
                text,
            }),
            None => {}
        }
    }
    let known = KNOWN
        .into_iter()
        .find(|name| files.iter().any(|file| file.path == *name));
    let alone = || alone(files).filter(|file| scripts.is_empty() || does_something(file, files));
    detected.command = known
        .map(|file| command_of(file, files))
        .or_else(|| FASTAPI.into_iter().find_map(|file| fastapi(file, files)))
        .or_else(|| alone().map(|file| command_of(file, files)));
    detected
}

/// How an ASGI app in `file` is started, if there is one. A file in a folder is a module of it, and whatever else the file does
/// when it is started is none of its business.
fn fastapi(file: &str, files: &[Found]) -> Option<Command> {
    let text = source(files, file)?;
    let (Framework::Asgi, name) = app_object(&text, &MAKERS)? else {
        return None;
    };
    let module = file.trim_end_matches(".py");
    let to_listen = ["--host", "0.0.0.0", "--port", "8000"];
    Some(match module.split_once('/') {
        Some((folder, module)) if imports_neighbour(&text, folder, files) => command(
            ["uvicorn", "--app-dir", folder, &format!("{module}:{name}")],
            to_listen,
            Some(WEB_PORT),
        ),
        _ => command(
            ["uvicorn", &format!("{}:{name}", module.replace('/', "."))],
            to_listen,
            Some(WEB_PORT),
        ),
    })
}

/// Does a file of `folder` import another one of it as if it lay at the top (`import routers`)? Then it has to be started from there.
fn imports_neighbour(text: &str, folder: &str, files: &[Found]) -> bool {
    let mut imported = text.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("from ")
            .or(line.strip_prefix("import "))?;
        rest.split(['.', ',', ' ']).next()
    });
    let is_neighbour = |name: &str| {
        let (file, inside) = (format!("{folder}/{name}.py"), format!("{folder}/{name}/"));
        let mut paths = files.iter().map(|file| file.path.as_str());
        !name.is_empty() && paths.any(|path| path == file || path.starts_with(&inside))
    };
    imported.any(is_neighbour)
}

/// The one Python file at the top that is a program: not what builds or tests the project.
fn alone(files: &[Found]) -> Option<&str> {
    let is_program = |path: &&str| {
        path.ends_with(".py")
            && !path.contains('/')
            && !matches!(
                *path,
                "setup.py" | "conftest.py" | "__init__.py" | "noxfile.py"
            )
            && !path.starts_with("test_")
    };
    let mut programs = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(is_program);
    let only = programs.next()?;
    programs.next().is_none().then_some(only)
}

/// Is there a `__main__` part or an app object in a file?
fn does_something(file: &str, files: &[Found]) -> bool {
    let text = source(files, file).unwrap_or_default();
    text.contains("__main__") || app_object(&text, &MAKERS).is_some()
}

fn command_of(file: &str, files: &[Found]) -> Command {
    if file == "manage.py" {
        // The development server's reloader would watch files that cannot change in a package.
        return command(
            ["python", file],
            ["runserver", "0.0.0.0:8000", "--noreload"],
            Some(WEB_PORT),
        );
    }
    let text = source(files, file).unwrap_or_default();
    let starts_itself = text.contains("__main__");
    let module = file.trim_end_matches(".py");
    let factory = || made_by_factory(&text, files);
    match app_object(&text, &MAKERS).or_else(factory) {
        // What starts itself knows best how.
        Some(_) if starts_itself => command(["python", file], [], None),
        Some((Framework::Flask, name)) => command(
            ["flask", "--app", &format!("{module}:{name}")],
            ["run", "--host", "0.0.0.0", "--port", "5000"],
            Some(FLASK_PORT),
        ),
        Some((Framework::Asgi, name)) => command(
            ["uvicorn", &format!("{module}:{name}")],
            ["--host", "0.0.0.0", "--port", "8000"],
            Some(WEB_PORT),
        ),
        Some((Framework::Wsgi, name)) => command(
            ["waitress-serve"],
            ["--listen=0.0.0.0:8000", &format!("{module}:{name}")],
            Some(WEB_PORT),
        ),
        Some((Framework::Sanic, name)) => command(
            ["sanic", &format!("{module}:{name}")],
            ["--host", "0.0.0.0", "--port", "8000", "--single-process"],
            Some(WEB_PORT),
        ),
        // `flask` finds the factory itself.
        None if !starts_itself && has_factory(&text) && uses_flask(files) => command(
            ["flask", "--app", module],
            ["run", "--host", "0.0.0.0", "--port", "5000"],
            Some(FLASK_PORT),
        ),
        None => command(["python", file], [], None),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framework {
    Flask,
    Asgi,
    Wsgi,
    Sanic,
}

type Maker = (&'static str, Framework);

/// What makes an app object, by the name of what is called.
const MAKERS: [Maker; 11] = [
    ("Flask", Framework::Flask),
    ("FastAPI", Framework::Asgi),
    ("Starlette", Framework::Asgi),
    ("Litestar", Framework::Asgi),
    ("Quart", Framework::Asgi),
    ("get_asgi_application", Framework::Asgi),
    ("get_wsgi_application", Framework::Wsgi),
    ("Bottle", Framework::Wsgi),
    ("falcon.App", Framework::Wsgi),
    ("asgi.App", Framework::Asgi),
    ("Sanic", Framework::Sanic),
];

/// The name that Flask knows of functions that make an app.
const FACTORY: &str = "create_app";

fn has_factory(text: &str) -> bool {
    let head = format!("def {FACTORY}(");
    text.lines().any(|line| line.starts_with(&head))
}

/// The first `NAME = create_app(` of a project that uses Flask.
fn made_by_factory<'t>(text: &'t str, files: &[Found]) -> Option<(Framework, &'t str)> {
    let found = app_object(text, &[(FACTORY, Framework::Flask)])?;
    uses_flask(files).then_some(found)
}

fn uses_flask(files: &[Found]) -> bool {
    let imports = |line: &str| line.starts_with("from flask import") || line == "import flask";
    let python = files.iter().filter(|file| file.path.ends_with(".py"));
    let mut texts = python.filter_map(|file| source(files, &file.path));
    texts.any(|text| text.lines().any(|line| imports(line.trim_end())))
}

/// The first `NAME = Maker(` at the left margin.
fn app_object<'t>(text: &'t str, makers: &[Maker]) -> Option<(Framework, &'t str)> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        // `app: Flask = Flask(…)`
        let name = name.split(':').next()?.trim_end();
        let is_name = name.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && name.chars().all(|c| c == '_' || c.is_alphanumeric());
        let (called, _) = value.trim_start().split_once('(')?;
        let (_, framework) = makers.iter().find(|(maker, _)| {
            called
                .strip_suffix(maker)
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })?;
        is_name.then_some((*framework, name))
    })
}

/// The `web:` line of a Procfile; `Err` says why it cannot be used.
fn procfile(text: &str) -> Option<Result<Command, String>> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("web:"))?
        .trim();
    // The one variable that such files have: the platform's port.
    let port = WEB_PORT.to_string();
    let plain = line.replace("${PORT}", &port).replace("$PORT", &port);
    let asks_port = plain != line;
    Some(match command::words(&plain) {
        Err(why) => Err(format!("`{line}`: {why}")),
        Ok(words) if words.is_empty() => Err("its line `web:` is empty".to_owned()),
        Ok(words) if FORKING.contains(&words[0].as_str()) => Err(format!(
            "`{line}` is not used: {} starts processes, which the sandbox does not have",
            words[0]
        )),
        Ok(mut words) => {
            // Such platforms tell gunicorn by the variable PORT.
            let tells_port = words[0] == "gunicorn" && !words.iter().any(|word| binds(word));
            if tells_port {
                words.insert(1, format!("--bind=0.0.0.0:{port}"));
            }
            Ok(Command {
                entrypoint: words,
                cmd: Vec::new(),
                ports: exposed((asks_port || tells_port).then_some(WEB_PORT)),
                is_guess: false,
            })
        }
    })
}

/// Whether an option of gunicorn says where to listen.
fn binds(option: &str) -> bool {
    option.starts_with("-b") || option.starts_with("--bind")
}

fn command<const N: usize, const M: usize>(
    entrypoint: [&str; N],
    cmd: [&str; M],
    port: Option<NonZeroU16>,
) -> Command {
    Command {
        entrypoint: entrypoint.map(str::to_owned).to_vec(),
        cmd: cmd.map(str::to_owned).to_vec(),
        ports: exposed(port),
        is_guess: true,
    }
}

fn exposed(port: Option<NonZeroU16>) -> Vec<ExposedPort> {
    let protocol = Protocol::Tcp;
    port.map(|port| ExposedPort { port, protocol })
        .into_iter()
        .collect()
}

/// The text of one of the files, if it is there and a text.
fn source(files: &[Found], name: &str) -> Option<String> {
    let file = files.iter().find(|file| file.path == name)?;
    (file.size <= LARGEST_SOURCE)
        .then(|| std::fs::read_to_string(&file.source).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_objects() {
        for (text, expected) in [
            (
                "from flask import Flask\napp = Flask(__name__)\n",
                Some((Framework::Flask, "app")),
            ),
            (
                "api: FastAPI = fastapi.FastAPI()\n",
                Some((Framework::Asgi, "api")),
            ),
            (
                "application = get_wsgi_application()\n",
                Some((Framework::Wsgi, "application")),
            ),
            ("def f():\n    app = Flask(__name__)\n", None),
            ("x.app = Flask()\n", None),
            ("app = MyFlask()\n", None),
            ("app == Flask()\n", None),
            ("app = falcon.asgi.App()\n", Some((Framework::Asgi, "app"))),
            ("app = Sanic('x')\n", Some((Framework::Sanic, "app"))),
            ("app = create_app()\n", None),
        ] {
            assert_eq!(app_object(text, &MAKERS), expected, "{text}");
        }
    }

    /// What starts a project of these files.
    fn started(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let found = files.iter().map(|(path, text)| {
            let source = folder.path().join(path);
            std::fs::create_dir_all(source.parent().expect("a folder")).expect("made");
            std::fs::write(&source, text).expect("written");
            Found {
                path: (*path).to_owned(),
                source,
                size: text.len() as u64,
                mode: pywasm_format::write::FileMode::Plain,
            }
        });
        let found: Vec<_> = found.collect();
        let command = detect(&found, &Scripts::of_folder(folder.path())).command;
        command.map_or_else(String::new, |command| command.entrypoint.join(" "))
    }

    #[test]
    fn apps_are_where_fastapi_looks_for_them() {
        let app =
            "from fastapi import FastAPI\napi = FastAPI()\nif __name__ == '__main__':\n    pass\n";
        let package = [("app/__init__.py", ""), ("app/main.py", app)];
        assert_eq!(started(&package), "uvicorn app.main:api");
        assert_eq!(started(&package[1..]), "uvicorn app.main:api");
        let neighbour = format!("from routers import users\nfrom .x import y\n{app}");
        let folder = [
            ("app/main.py", neighbour.as_str()),
            ("app/routers/users.py", ""),
        ];
        assert_eq!(started(&folder), "uvicorn --app-dir app main:api");
        assert_eq!(started(&folder[..1]), "uvicorn app.main:api");
        assert_eq!(started(&[("api.py", app), ("x.py", "")]), "uvicorn api:api");
        assert_eq!(started(&[("app/main.py", "x = 1\n")]), "");
        let both = [("app/main.py", app), ("fill.py", "")];
        assert_eq!(started(&both), "uvicorn app.main:api");
    }

    #[test]
    fn programs_of_the_project_come_before_a_module_that_does_nothing() {
        let scripts = ("pyproject.toml", "[project.scripts]\nx = 'x:main'\n");
        let main = "def main():\n    pass\n";
        assert_eq!(started(&[scripts, ("x.py", main)]), "");
        let itself = format!("{main}if __name__ == '__main__':\n    main()\n");
        assert_eq!(started(&[scripts, ("x.py", &itself)]), "python x.py");
        assert_eq!(started(&[("x.py", main)]), "python x.py");
    }

    #[test]
    fn factories_of_flask() {
        let factory = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n";
        assert_eq!(started(&[("app.py", factory)]), "flask --app app");
        let made = "from site_app import create_app\napp = create_app()\n";
        let files = [("wsgi.py", made), ("site_app.py", factory)];
        assert_eq!(started(&files), "flask --app wsgi:app");
        assert_eq!(
            started(&files[..1]),
            "python wsgi.py",
            "nothing says that it is Flask's"
        );
        let itself = format!("{factory}if __name__ == '__main__':\n    create_app().run()\n");
        assert_eq!(started(&[("app.py", &itself)]), "python app.py");
    }

    #[test]
    fn a_program_that_is_alone() {
        let found = |paths: &[&str]| {
            let files = paths.iter().map(|path| Found {
                path: (*path).to_owned(),
                source: "nowhere".into(),
                size: 0,
                mode: pywasm_format::write::FileMode::Plain,
            });
            let command = detect(&files.collect::<Vec<_>>(), &Scripts::default()).command;
            command.map(|command| command.entrypoint.join(" "))
        };
        let bot = ["bot.py", "conftest.py", "lib/x.py", "test_bot.py"];
        assert_eq!(found(&bot).as_deref(), Some("python bot.py"));
        assert_eq!(found(&["bot.py", "other.py"]), None);
        assert_eq!(found(&["setup.py"]), None);
    }

    #[test]
    fn procfiles() {
        let words = |text: &str| procfile(text).map(|found| found.map(|c| c.entrypoint.join(" ")));
        assert_eq!(
            words("release: x\nweb: uvicorn main:app --port $PORT\n"),
            Some(Ok("uvicorn main:app --port 8000".into()))
        );
        assert_eq!(words("worker: x\n"), None);
        assert_eq!(
            words("web: gunicorn app:app"),
            Some(Ok("gunicorn --bind=0.0.0.0:8000 app:app".into()))
        );
        assert_eq!(
            words("web: gunicorn -b :$PORT app:app"),
            Some(Ok("gunicorn -b :8000 app:app".into()))
        );
        assert!(
            matches!(words("web: uwsgi app.ini"), Some(Err(why)) if why.contains("starts processes"))
        );
        assert!(matches!(words("web: a | b"), Some(Err(why)) if why.contains("needs a shell")));
    }
}
