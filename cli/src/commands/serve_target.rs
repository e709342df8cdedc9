//! Which app `pywasm serve` serves.

use anyhow::bail;
use pywasm::AppConfig;
use pywasm_format::shell;
use pywasm_front::Interface;

/// An app, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub interface: Interface,
    /// `MODULE:APP`.
    pub app: String,
}

/// Servers that packages start, with what they speak.
const SERVERS: [(&str, Interface); 9] = [
    ("uvicorn", Interface::Asgi),
    ("hypercorn", Interface::Asgi),
    ("daphne", Interface::Asgi),
    ("fastapi", Interface::Asgi),
    ("granian", Interface::Asgi),
    ("flask", Interface::Wsgi),
    ("gunicorn", Interface::Wsgi),
    ("waitress-serve", Interface::Wsgi),
    ("waitress", Interface::Wsgi),
];

impl Target {
    pub fn new(interface: Interface, app: String) -> Self {
        Self { interface, app }
    }

    /// The app that the package's own command would serve.
    pub fn of_package(config: &AppConfig) -> anyhow::Result<Self> {
        let line = config.command_line();
        // Of several programs the last one serves.
        let last = shell::script(&line)
            .and_then(|(text, arguments)| shell::steps(text, arguments, &config.env).ok()?.pop());
        match Self::of_line(&last.map_or(line, |step| step.words)) {
            Some(target) => Ok(target),
            None => bail!(
                "which app is to be served? Name its module and object with --wsgi or --asgi, such as --wsgi app:app"
            ),
        }
    }

    fn of_line(line: &[String]) -> Option<Self> {
        let words = || line.iter().map(String::as_str);
        let program = |word: &str| {
            let name = word.rsplit('/').next().unwrap_or(word);
            SERVERS.into_iter().find(|(server, _)| *server == name)
        };
        let (server, mut interface) = words().find_map(program)?;
        // `gunicorn -k uvicorn.workers.UvicornWorker`, `granian --interface wsgi`.
        if words().any(|word| word.contains("UvicornWorker")) {
            interface = Interface::Asgi;
        }
        if server == "granian" && words().any(|word| word.ends_with("wsgi")) {
            interface = Interface::Wsgi;
        }
        let app = words().find(|word| is_app(word)).map(str::to_owned);
        let app = app.or_else(|| match server {
            "fastapi" => words().find_map(of_file),
            _ => None,
        });
        Some(Self::new(interface, app?))
    }
}

fn is_app(word: &str) -> bool {
    let named = word.split_once(':');
    let is_name = |text: &str| {
        let plain = |c: char| c.is_alphanumeric() || ['_', '.', '(', ')'].contains(&c);
        text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(plain)
    };
    named.is_some_and(|(module, object)| is_name(module) && is_name(object))
}

/// `fastapi run app/main.py` serves `app` of `app.main`.
fn of_file(word: &str) -> Option<String> {
    let module = word.strip_suffix(".py")?;
    Some(format!(
        "{}:app",
        module.trim_start_matches("./").replace('/', ".")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_of_a_known_server_is_found() {
        let of = |line: &str| {
            let line: Vec<String> = line.split(' ').map(str::to_owned).collect();
            Target::of_line(&line).map(|target| (target.interface, target.app))
        };
        let wsgi = |app: &str| Some((Interface::Wsgi, app.to_owned()));
        let asgi = |app: &str| Some((Interface::Asgi, app.to_owned()));
        let app = "app:app";
        assert_eq!(of("flask --app app:app run --host 0.0.0.0"), wsgi(app));
        assert_eq!(
            of("waitress-serve --listen=0.0.0.0:8000 app:app"),
            wsgi(app)
        );
        assert_eq!(of("gunicorn -b 0.0.0.0:80 app:make()"), wsgi("app:make()"));
        assert_eq!(
            of("gunicorn -k uvicorn.workers.UvicornWorker app:app"),
            asgi(app)
        );
        assert_eq!(
            of("python -m uvicorn app.main:app --port 80"),
            asgi("app.main:app")
        );
        assert_eq!(of("granian --interface wsgi app:app"), wsgi(app));
        assert_eq!(
            of("fastapi run app/main.py --port 80"),
            asgi("app.main:app")
        );
        assert_eq!(of("python app.py"), None);
        assert_eq!(of("python app:app"), None, "whose interface nobody knows");
    }
}
