//! The Dockerfiles, requirements and commands that tutorials show, as they stand there: they run, or
//! the line that cannot be followed is named with what to write instead.

use crate::support::{Ended, Running, get, project, pywasm, run};

const FLASK_APP: &str = "
from flask import Flask

app = Flask(__name__)

@app.route('/')
def hello():
    return 'Hello, World!'

if __name__ == '__main__':
    app.run(host='0.0.0.0', port=8080)
";

const DOCKERFILE: &str = "
FROM python:3.8-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
CMD [\"python\", \"app.py\"]
";

/// Packs a project as it is, runs the package and asks for its first page.
fn answer(files: &[(&str, &str)], port: u16) -> String {
    let app = project(files);
    let package = app.path().join("my-python-app.pkg");
    let mut build = pywasm(["build", "-q", "-t", "my-python-app", "-o"]);
    build.arg(&package).arg(".").current_dir(app.path());
    let Ended { code, stderr, .. } = run(build);
    assert_eq!(code, Some(0), "{stderr}");
    let mut command = pywasm(["run", "-p", &format!("0:{port}")]);
    command.arg(&package);
    let mut server = Running::start(command);
    let address = server.address(port);
    get(address, "/")
}

#[test]
fn registry_a_pinned_flask_of_2020_answers() {
    let page = answer(
        &[
            ("Dockerfile", &DOCKERFILE.replace("3.8-slim", "3.7")),
            ("requirements.txt", "Flask==1.1.2\n"),
            ("app.py", FLASK_APP),
        ],
        8080,
    );
    assert!(
        page.starts_with("HTTP/1.0 200") && page.ends_with("Hello, World!"),
        "{page}"
    );
}

#[test]
fn registry_a_pinned_flask_of_2021_answers() {
    let page = answer(
        &[
            ("Dockerfile", DOCKERFILE),
            ("requirements.txt", "Flask==2.0.1\n"),
            ("app.py", &FLASK_APP.replace("8080", "80")),
        ],
        80,
    );
    assert!(
        page.starts_with("HTTP/1.0 200") && page.ends_with("Hello, World!"),
        "{page}"
    );
}

#[test]
fn registry_an_unpinned_flask_answers_from_a_dockerfile_with_expose() {
    let page = answer(
        &[
            (
                "Dockerfile",
                "# 使用官方 Python 镜像作为基础镜像\nFROM python:3.9-slim\n\nWORKDIR /app\n\nCOPY . /app\n\nRUN pip install -r requirements.txt\n\nEXPOSE 5000\n\nCMD [\"python\", \"app.py\"]\n",
            ),
            ("requirements.txt", "Flask\n"),
            (
                "app.py",
                &FLASK_APP.replace("port=8080", "port=5000, debug=True"),
            ),
        ],
        5000,
    );
    assert!(page.ends_with("Hello, World!"), "{page}");
}

#[test]
fn registry_an_entry_point_of_a_package_takes_the_command_as_its_arguments() {
    let page = answer(
        &[
            (
                "Dockerfile",
                "FROM python:3.9-slim\nWORKDIR /app\nCOPY . .\nRUN pip install flask\nENTRYPOINT [\"flask\"]\nCMD [\"run\", \"--host=0.0.0.0\", \"-p\", \"5000\"]\n",
            ),
            ("app.py", FLASK_APP),
        ],
        5000,
    );
    assert!(page.ends_with("Hello, World!"), "{page}");
}

#[test]
fn an_app_without_requirements_answers() {
    let page = answer(
        &[
            ("Dockerfile", DOCKERFILE),
            ("requirements.txt", ""),
            (
                "app.py",
                "import http.server as h\nh.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()\n",
            ),
        ],
        8000,
    );
    assert!(page.contains("requirements.txt"), "{page}");
}

#[test]
fn what_cannot_be_followed_is_named_with_line_and_fix() {
    for (dockerfile, said) in [
        (
            "FROM python:latest\nCOPY requirements.txt.\nRUN pip install --no-cache-dir -r requirements.txt\nCMD [\"python\", \"app.py\"]\n",
            "Dockerfile:2: COPY needs a source and a destination; did you mean `COPY requirements.txt .`?",
        ),
        (
            "FROM python:3.9-slim\n\nWORKDIR /app\n\nCOPY. /app\n",
            "Dockerfile:5: `COPY.` is no Dockerfile instruction; did you mean `COPY . /app`?",
        ),
        (
            "FROM <image>:<tag>\n",
            "Dockerfile:1: `FROM <image>:<tag>`: put the name of an image in place of what stands in <…>, such as FROM python:3",
        ),
        (
            "FROM python:3.7\nRUN pip install Django==2.0.9 \\\n    && apt update && apt install -y gcc ffmpeg \\\n    && rm /var/lib/apt/lists/*\n",
            "Dockerfile:2: `RUN apt install -y gcc ffmpeg`: there is no Linux in the sandbox, so ffmpeg cannot be installed",
        ),
        (
            "FROM python:3.7\nADD https://example.com/package.tar.gz /tmp/\nRUN tar xzf /tmp/package.tar.gz -C /opt/\n",
            "Dockerfile:2: ADD https://example.com/package.tar.gz: nothing is fetched while packing but Python packages; fetch it into the project and write COPY",
        ),
        (
            "FROM flask_base\nONBUILD COPY config.cfg /config/\n",
            "Dockerfile:1: `FROM flask_base`: only python images can be followed",
        ),
        (
            "FROM python\nCOPY app /usr/src/app\n",
            "Dockerfile:2: COPY app: no such file among those to pack",
        ),
    ] {
        let app = project(&[
            ("Dockerfile", dockerfile),
            ("app.py", ""),
            ("requirements.txt", ""),
        ]);
        let mut command = pywasm(["pack", "."]);
        command.current_dir(app.path());
        let Ended { code, stderr, .. } = run(command);
        assert_eq!(code, Some(125), "{dockerfile}{stderr}");
        assert!(stderr.contains(said), "{dockerfile}{stderr}");
    }
}

#[test]
fn a_name_that_swallowed_the_folder_is_explained() {
    for (name, said) in [
        ("my_python_app.", "did you mean `my_python_app .`"),
        ("<your_username>/<image_name>.", "put your own name"),
    ] {
        let Ended { code, stderr, .. } = run(pywasm(["build", "-t", name]));
        assert_eq!(code, Some(125), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_check_answers_people_and_programs() {
    let app = project(&[
        ("Dockerfile", DOCKERFILE),
        ("requirements.txt", ""),
        ("app.py", ""),
    ]);
    let mut command = pywasm(["check"]);
    command.arg(app.path());
    let Ended { code, stdout, .. } = run(command);
    assert_eq!(
        (code, stdout.trim()),
        (Some(0), "nothing is required: it can be packed")
    );
    let mut command = pywasm(["check", "--format", "json"]);
    command.arg(app.path());
    let report: serde_json::Value = serde_json::from_str(&run(command).stdout).expect("JSON");
    assert_eq!(report["packable"], true);
    let notes = report["notes"].as_array().expect("a list");
    assert!(notes.iter().any(|note| {
        note.as_str()
            .is_some_and(|note| note.contains("it asks for 3.8"))
    }));
}

#[test]
fn registry_a_check_names_what_cannot_run() {
    let app = project(&[("requirements.txt", "uvloop\nrequests\n"), ("app.py", "")]);
    let mut command = pywasm(["check"]);
    command.arg(app.path());
    let Ended { code, stdout, .. } = run(command);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(
        stdout.starts_with("cannot run:\n  uvloop ")
            && stdout.contains("--exclude uvloop")
            && stdout.contains("\nruns:\n  certifi ")
            && stdout.ends_with("it cannot be packed as it is\n"),
        "{stdout}"
    );
}
