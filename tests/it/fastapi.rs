//! FastAPI from the package index, unmodified, on the interpreter with native packages: `registry_` tests.

use crate::support::{Running, get, project, pywasm, run, web_socket};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

fn serve(app: &Path) -> (Running, SocketAddr) {
    let mut command = pywasm(["run", "-p", "0:8000"]);
    command.arg(app);
    let mut server = Running::start(command);
    let address = server.address(8000);
    (server, address)
}

/// Sends a body of JSON and gives the whole response.
fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

#[test]
fn registry_fastapi_serves_routes_errors_documents_sockets_and_streams() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fastapi");
    let (server, address) = serve(&example);
    answers_well(address);
    drop(server);
    let mut front = pywasm(["serve", "--bind", "127.0.0.1:0", "--asgi", "main:app"]);
    front.arg(&example);
    let mut server = Running::start(front);
    let line = server.line("serving at http://");
    let (_, address) = line.split_once("http://").expect("an address");
    answers_well(address.parse().expect("an address"));
}

fn answers_well(address: SocketAddr) {
    let found = get(address, "/items/5?q=x");
    assert!(
        found.starts_with("HTTP/1.1 200") && found.ends_with(r#"{"item_id":5,"q":"x"}"#),
        "{found}"
    );
    let wrong = get(address, "/items/five");
    assert!(
        wrong.starts_with("HTTP/1.1 422") && wrong.contains(r#""type":"int_parsing""#),
        "{wrong}"
    );
    let created = post(
        address,
        "/items",
        r#"{"name": "pen", "price": "1.5", "tags": ["a", "a"]}"#,
    );
    assert!(
        created.starts_with("HTTP/1.1 201")
            && created.ends_with(r#"{"name":"pen","price":1.5,"tags":["a"]}"#),
        "{created}"
    );
    let refused = post(address, "/items", r#"{"name": "", "price": 0}"#);
    assert!(
        refused.starts_with("HTTP/1.1 422")
            && refused.contains("string_too_short")
            && refused.contains("greater_than"),
        "{refused}"
    );
    // The background task runs after the response, in a thread.
    let asked = Instant::now();
    while !get(address, "/stored").ends_with(r#"["pen"]"#) {
        assert!(asked.elapsed() < Duration::from_secs(120), "it has not run");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(get(address, "/docs").contains("swagger-ui"));
    assert!(get(address, "/openapi.json").contains(r#""/items/{item_id}":{"get""#));
    let streamed = get(address, "/stream");
    for line in ["line 0\n", "line 1\n", "line 2\n"] {
        assert!(streamed.contains(line), "{streamed}");
    }
    assert_eq!(web_socket(address, "/echo", "hello"), "HELLO");
}

#[test]
fn registry_the_dockerfile_of_fastapis_documentation_runs() {
    let app = project(&[
        (
            "Dockerfile",
            "FROM python:3.14\nWORKDIR /code\nCOPY ./requirements.txt /code/requirements.txt\n\
             RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt\n\
             COPY ./app /code/app\nCMD [\"fastapi\", \"run\", \"app/main.py\", \"--port\", \"80\"]\n",
        ),
        (
            "requirements.txt",
            "fastapi[standard]\npydantic>=2.7.0,<3.0.0\n",
        ),
        ("app/__init__.py", ""),
        (
            "app/main.py",
            "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\ndef root():\n    return {'Hello': 'World'}\n",
        ),
    ]);
    let mut command = pywasm(["run", "-p", "0:80"]);
    command.arg(app.path());
    let mut server = Running::start(command);
    let address = server.address(80);
    assert!(get(address, "/").ends_with(r#"{"Hello":"World"}"#));
}

/// Validators call Python from Rust, where another thread may have its turn.
#[test]
fn registry_pydantic_validates_in_many_threads_at_once() {
    let app = project(&[
        (
            "app.py",
            r"
import threading
from pydantic import BaseModel, ValidationError, field_validator
class Node(BaseModel):
    number: int
    children: list['Node'] = []
    @field_validator('number')
    @classmethod
    def slow(cls, value):
        return sum(1 for _ in range(2000)) and value
def work(seed):
    for turn in range(60):
        node = Node.model_validate_json('{\'number\': %d, \'children\': [{\'number\': %d}]}'.replace(chr(39), chr(34)) % (seed, turn))
        assert (node.number, node.children[0].number) == (seed, turn)
        try:
            Node(number='x', children=[{'number': seed}, 5])
        except ValidationError as error:
            assert error.error_count() == 2
        else:
            raise SystemExit('accepted')
    done.append(seed)
done = []
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(done))
",
        ),
        ("requirements.txt", "pydantic\n"),
    ]);
    let mut command = pywasm(["run"]);
    command.arg(app.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "[0, 1, 2, 3, 4, 5, 6, 7]\n");
}
