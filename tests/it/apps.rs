//! Programs that we did not write, unmodified, from the package index: `registry_` tests.

use crate::support::{Ended, Running, get, project, pywasm, run};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Packs a folder next to it and gives the package's path.
fn pack(folder: &Path) -> std::path::PathBuf {
    let package = folder.with_extension("pkg");
    let mut command = pywasm(["pack", "-q", "-o"]);
    command.arg(&package).arg(folder);
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    package
}

fn serve(package: &Path, port: u16, args: &[&str]) -> (Running, SocketAddr) {
    let mut command = pywasm(["run", "-p", &format!("0:{port}")]);
    command.arg(package).args(args);
    let mut server = Running::start(command);
    let address = server.address(port);
    (server, address)
}

#[test]
fn registry_flask_of_the_seed_with_its_debugger_and_reloader() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flask");
    let mut command = pywasm(["run", "-p", "0:5000"]);
    command.arg(example);
    let mut server = Running::start(command);
    let address = server.address(5000);
    let response = get(address, "/");
    assert!(
        response.starts_with("HTTP/1.1 200") && response.ends_with("Hello, Docker!"),
        "{response}"
    );
    assert!(get(address, "/missing").starts_with("HTTP/1.1 404"));
}

#[test]
fn registry_flask_serves_many_at_once() {
    let app = project(&[
        (
            "app.py",
            "
import time
from flask import Flask
app = Flask(__name__)
@app.route('/slow')
def slow():
    time.sleep(0.1)
    return 'slow'
if __name__ == '__main__':
    app.run(host='0.0.0.0', port=5000)
",
        ),
        ("requirements.txt", "flask\n"),
    ]);
    let package = pack(app.path());
    let (_server, address) = serve(&package, 5000, &[]);
    get(address, "/slow");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert!(get(address, "/slow").ends_with("slow")));
        }
    });
    // One after the other they would take five seconds and more on any machine.
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    std::fs::remove_file(package).expect("the package");
}

#[test]
fn registry_django_migrates_and_serves() {
    let app = project(&[
        ("requirements.txt", "django\n"),
        (
            "manage.py",
            "
import os, sys
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_settings')
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
",
        ),
        (
            "site_settings.py",
            "
SECRET_KEY = 'test'
DEBUG = True
ALLOWED_HOSTS = ['*']
ROOT_URLCONF = 'urls'
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/data/db.sqlite3'}}
",
        ),
        (
            "urls.py",
            "
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path
def index(request):
    return HttpResponse(f'{User.objects.count()} users')
urlpatterns = [path('', index)]
",
        ),
        (
            "tests.py",
            "
from django.contrib.auth.models import User
from django.test import TestCase
class IndexTest(TestCase):
    def test_users_are_counted(self):
        User.objects.create_user('ada')
        self.assertContains(self.client.get('/'), '1 users')
",
        ),
    ]);
    let data = tempfile::tempdir().expect("a folder");
    let volume = format!("{}:/data", data.path().display());
    let manage = |args: &[&str]| {
        let mut command = pywasm([
            "run",
            "-v",
            &volume,
            "-p",
            "0:8000",
            "--entrypoint",
            "python",
        ]);
        command.arg(app.path()).arg("manage.py").args(args);
        command
    };
    let Ended {
        code,
        stdout,
        stderr,
    } = run(manage(&["migrate"]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(
        stdout.contains("Applying auth.0001_initial... OK"),
        "{stdout}{stderr}"
    );
    // Its runner imports ctypes.
    let tested = run(manage(&["test", "--noinput"]));
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stderr.contains("Ran 1 test"), "{}", tested.stderr);
    let mut server = Running::start(manage(&["runserver", "--noreload", "0.0.0.0:8000"]));
    let address = server.address(8000);
    let response = get(address, "/");
    assert!(response.ends_with("0 users"), "{response}");
}

#[test]
fn registry_bottle_serves() {
    let app = project(&[
        (
            "app.py",
            "
from bottle import route, run
@route('/hello/<name>')
def hello(name):
    return f'Hello {name}'
run(host='0.0.0.0', port=8080)
",
        ),
        ("requirements.txt", "bottle\n"),
    ]);
    let (_server, address) = serve(app.path(), 8080, &[]);
    assert!(get(address, "/hello/world").ends_with("Hello world"));
}

#[test]
fn registry_waitress_serves() {
    let app = project(&[
        (
            "app.py",
            "
def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'from waitress']
if __name__ == '__main__':
    from waitress import serve
    serve(app, host='0.0.0.0', port=8080)
",
        ),
        ("requirements.txt", "waitress\n"),
    ]);
    let (_server, address) = serve(app.path(), 8080, &[]);
    for _ in 0..3 {
        assert!(get(address, "/").ends_with("from waitress"));
    }
}

#[test]
fn registry_pytest_runs_the_tests_of_a_package() {
    let app = project(&[
        ("calc/__init__.py", "def add(a, b):\n    return a + b\n"),
        (
            "tests/test_calc.py",
            "
import pytest
from calc import add
@pytest.mark.parametrize('a', range(3))
def test_add(a, tmp_path, capfd):
    (tmp_path / 'x').write_text(str(add(a, 1)))
    print('printed')
    assert capfd.readouterr().out == 'printed\\n'
    assert (tmp_path / 'x').read_text() == str(a + 1)
def test_fails():
    assert add(1, 1) == 3
",
        ),
        ("requirements.txt", "pytest\n"),
        ("main.py", ""),
    ]);
    let mut command = pywasm(["run", "--entrypoint", "python"]);
    command
        .arg(app.path())
        .args(["-m", "pytest", "-p", "no:cacheprovider"]);
    let ended = run(command);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("1 failed, 3 passed"),
        "{}",
        ended.stdout
    );
}

#[test]
fn registry_black_formats_mounted_files() {
    let folder = project(&[("a.py", "x = {  'a':1 }\n")]);
    let volume = format!("{}:/data", folder.path().display());
    let ended = run(pywasm([
        "python",
        "--with",
        "black",
        "--volume",
        &volume,
        "--workdir",
        "/data",
        "-m",
        "black",
        "a.py",
    ]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let a = std::fs::read_to_string(folder.path().join("a.py")).expect("a file");
    assert_eq!(a, "x = {\"a\": 1}\n");
}

#[test]
fn registry_docutils_turns_a_mounted_text_into_html() {
    let folder = project(&[("in.rst", "Title\n=====\n\nSome *text*.\n")]);
    let volume = format!("{}:/data", folder.path().display());
    let ended = run(pywasm([
        "python",
        "--with",
        "docutils",
        "--volume",
        &volume,
        "-m",
        "docutils",
        "/data/in.rst",
        "/data/out.html",
    ]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let html = std::fs::read_to_string(folder.path().join("out.html")).expect("written");
    assert!(html.contains("<em>text</em>"), "{html}");
}

#[test]
fn registry_sqlalchemy_queries_a_database_and_ends_well() {
    let code = r#"
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

class Base(DeclarativeBase): pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(30))

engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([User(name=name) for name in ("ann", "bob", "cid")])
    session.commit()
    print(session.scalars(select(User.name).where(User.name > "ann").order_by(User.name)).all())
"#;
    let ended = run(pywasm(["python", "--with", "sqlalchemy", "-c", code]));
    assert_eq!(ended.stdout, "['bob', 'cid']\n", "{}", ended.stderr);
    // Collecting all of its garbage is part of the end.
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// A requirement that cannot run is refused when packing, with the reason.
#[test]
fn registry_native_packages_are_refused_with_the_reason() {
    let app = project(&[("app.py", ""), ("requirements.txt", "torch\n")]);
    let mut command = pywasm(["pack", "--dry-run"]);
    command.arg(app.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(125), "{}", ended.stdout);
    assert!(ended.stderr.contains("torch"), "{}", ended.stderr);
}

#[test]
fn registry_a_flask_app_without_a_main_part_is_served_from_its_lock() {
    let app = project(&[
        (
            "app.py",
            "from flask import Flask\napp = Flask(__name__)\n\n@app.route('/')\ndef hello():\n    return 'found'\n",
        ),
        ("requirements.txt", "flask\n"),
    ]);
    let mut lock = pywasm(["lock"]);
    lock.arg(app.path());
    assert_eq!(run(lock).code, Some(0));
    let mut command = pywasm(["run", "--locked", "-p", "0:5000"]);
    command.arg(app.path());
    let mut server = Running::start(command);
    let address = server.address(5000);
    assert!(get(address, "/").ends_with("found"));
}

#[test]
fn a_project_that_says_nothing_runs_what_is_asked_for() {
    let folder = project(&[("foo.py", "import sys; print('foo', *sys.argv[1:])")]);
    let ended = |entrypoint: &str, arguments: &[&str]| {
        let mut command = pywasm(["run", "--entrypoint", entrypoint]);
        command.arg(folder.path()).args(arguments);
        run(command)
    };
    for (entrypoint, arguments, told) in [
        ("python foo.py", &[][..], "foo\n"),
        ("python foo.py", &["a", "b"], "foo a b\n"),
        ("python", &["foo.py", "c"], "foo c\n"),
    ] {
        let ended = ended(entrypoint, arguments);
        assert_eq!(ended.stdout, told, "{}", ended.stderr);
    }
    let refused = ended("python bar.py", &[]);
    assert!(
        refused
            .stderr
            .contains("bar.py is not among the files that are packed"),
        "{}",
        refused.stderr
    );
}
