use super::*;

fn parse(text: &str) -> Result<Dockerfile, String> {
    let choice = DockerfileChoice::default();
    Dockerfile::parse(Path::new("Dockerfile"), text, &choice).map_err(|error| error.to_string())
}

fn parsed(text: &str) -> Dockerfile {
    parse(text).expect("can be followed")
}

fn pip<const N: usize>(words: [&str; N]) -> Installed {
    Installed::Pip(words.map(str::to_owned).to_vec())
}

#[test]
fn the_common_dockerfile() {
    let file = parsed(
        "FROM python:3.8-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install --upgrade pip && pip install --no-cache-dir -r requirements.txt\nCOPY . .\nENV A=1 B=\"two words\"\nENV A=2\nEXPOSE 5000 53/udp\nLABEL x=y\nCMD [\"python\", \"app.py\"]\n",
    );
    assert_eq!(file.stage.working_dir().as_str(), "/app");
    assert_eq!(file.stage.cmd, ["python", "app.py"]);
    assert_eq!(
        file.stage.env,
        [("A".into(), "2".into()), ("B".into(), "two words".into())]
    );
    assert_eq!(file.stage.exposed_ports.len(), 2);
    assert_eq!(file.stage.installs.len(), 1);
    assert_eq!(
        file.stage.installs[0].what,
        pip(["--no-cache-dir", "-r", "requirements.txt"])
    );
    let copies = file
        .stage
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            FileAction::Copy(copy) => Some((copy.dest.as_str(), copy.into_folder)),
            _ => None,
        });
    assert_eq!(copies.collect::<Vec<_>>(), [("/app", true), ("/app", true)]);
    let notes: Vec<_> = file.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "Dockerfile:1: `python:3.8-slim` is replaced by pywasm's own Python; it asks for 3.8",
            "Dockerfile:4: `pip install --upgrade pip` is skipped: it has no effect on a package",
        ]
    );
}

#[test]
fn shell_form_variables_and_relative_folders() {
    let file = parsed(
        "ARG V=3\nFROM python:${V}\nENV HOME_DIR=/srv\nWORKDIR $HOME_DIR\nWORKDIR sub\nENTRYPOINT exec python -m app\nCMD --port 80",
    );
    assert_eq!(file.stage.working_dir().as_str(), "/srv/sub");
    assert_eq!(file.stage.entrypoint, ["python", "-m", "app"]);
    assert_eq!(file.stage.cmd, ["--port", "80"]);
    assert_eq!(
        parsed("FROM python\nCMD a\nENTRYPOINT [\"b\"]").stage.cmd,
        [""; 0]
    );
}

#[test]
fn refusals_name_the_line_and_the_way_out() {
    for (text, part) in [
        (
            "FROM python:3\n\nCOPY. /app",
            "Dockerfile:3: `COPY.` is no Dockerfile instruction; did you mean `COPY . /app`?",
        ),
        (
            "FROM ubuntu:22.04",
            "Dockerfile:1: `FROM ubuntu:22.04`: only python images",
        ),
        (
            "FROM python:3\nCOPPY a b\nFROM python:3",
            "Dockerfile:2: `COPPY` is no Dockerfile instruction; did you mean COPY?",
        ),
        (
            "FROM python:3 AS",
            "is not FROM IMAGE or FROM IMAGE AS NAME",
        ),
        (
            "FROM node:20 AS web\nRUN npm run build\nFROM python:3\nCOPY --from=web /dist .",
            "Dockerfile:1: `FROM node:20`: only python images",
        ),
        (
            "FROM python\nRUN curl -O https://a.example/x",
            "fetch it into the project",
        ),
        (
            "FROM python\nRUN tar czf x.tar.gz x",
            "of tar is not followed",
        ),
        ("FROM python\nRUN tar -xf", "an option lacks its value"),
        ("FROM python\nRUN unzip x.zip", "only tar is followed"),
        (
            "FROM python\nRUN conda install flask",
            "of the tools that install packages pip, `uv sync`",
        ),
        ("FROM python\nRUN pipenv install", "a Pipfile is not read"),
        (
            "FROM python\nRUN --mount=type=bind,source=a true",
            "it has no target",
        ),
        (
            "FROM python\nRUN --frob=1 true",
            "RUN --frob=1 is not supported",
        ),
        (
            "FROM python\nARG T\nRUN pip install -i https://$T@a.example/ x",
            "ARG T has no value: give it by --build-arg T=VALUE",
        ),
        ("FROM python\nRUN chmod zz x", "is no mode"),
        ("FROM python\nRUN cp a", "needs a source and a destination"),
        ("ARG A=1", "it has no FROM"),
        (
            "FROM python\nRUN apt-get update && apt-get install -y gcc ffmpeg",
            "there is no Linux in the sandbox, so ffmpeg cannot be installed",
        ),
        ("FROM python\nRUN make", "there is no make in the sandbox"),
        (
            "FROM python\nRUN frobnicate",
            "only `pip install`, mkdir, cp",
        ),
        ("FROM python\nRUN echo $X", "needs a shell"),
        ("FROM python\nCMD python app.py | tee log", "needs a shell"),
        (
            "FROM python\nCMD ['python', 'app.py']",
            "with double quotes",
        ),
        (
            "FROM python\nCOPY --from=build a b",
            "no stage before this one is called so",
        ),
        (
            "FROM python\nADD x.tar.xz /app",
            "make a .tar.gz or .tar.zst of it",
        ),
        (
            "FROM python\nADD https://a.example/x.tar.gz /app",
            "nothing is fetched while packing but Python packages",
        ),
        (
            "FROM python\nCOPY requirements.txt.",
            "did you mean `COPY requirements.txt .`?",
        ),
        ("FROM python\nCOPY a ../b", "not allowed"),
        ("FROM python\nEXPOSE http", "is not a port"),
        ("FROM python\nCOPY <<EOF /app/x", "here-documents"),
        ("WORKDIR /app", "stands before FROM"),
        ("FROM python\nWORKDIR", "stands alone"),
    ] {
        match parse(text) {
            Err(error) => assert!(error.contains(part), "{text:?} gave {error}"),
            Ok(_) => panic!("{text:?} was accepted"),
        }
    }
}

#[test]
fn stages_bring_packages_files_and_settings() {
    let file = parsed(
        "ARG V=3.12\nFROM python:${V} AS Builder\nWORKDIR /src\nCOPY requirements.txt .\nRUN python -m venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\nRUN /opt/venv/bin/pip install -r requirements.txt\nCOPY dist dist\nFROM node:20 AS unused\nRUN npm ci\nFROM python:3.12-slim\nCOPY --from=builder /opt/venv /opt/venv\nCOPY --from=0 /src/dist ./static\nCOPY . .\nCMD [\"/opt/venv/bin/gunicorn\", \"app:app\"]",
    );
    let [install] = &file.stage.installs[..] else {
        panic!("{:?}", file.stage.installs);
    };
    assert_eq!(install.what, pip(["-r", "requirements.txt"]));
    assert_eq!(install.working_dir.as_str(), "/src");
    assert_eq!(file.stage.cmd, ["gunicorn", "app:app"]);
    assert!(matches!(
        file.stage.steps[0].action,
        FileAction::CopyFrom(..)
    ));
    let notes: Vec<_> = file.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("`python:3.12` is replaced"))
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("packages of stage `builder` are taken along"))
    );
    let file = parsed(
        "FROM python AS base\nENV A=1\nWORKDIR /srv\nFROM base\nCMD python $A.py"
            .replace("$A", "a")
            .as_str(),
    );
    assert_eq!(file.stage.env, [("A".into(), "1".into())]);
    assert_eq!(file.stage.working_dir().as_str(), "/srv");
}

#[test]
fn a_stage_and_values_may_be_chosen() {
    let choice = DockerfileChoice {
        target: Some("one".to_owned()),
        args: vec![
            ("NAME".to_owned(), "given".to_owned()),
            ("X".to_owned(), "y".to_owned()),
        ],
        ..DockerfileChoice::default()
    };
    let text =
        "FROM python AS one\nARG NAME=default\nENV N=$NAME X=$X\nCMD a\nFROM python AS two\nCMD b";
    let parse = |choice| Dockerfile::parse(Path::new("Dockerfile"), text, choice);
    let file = parse(&choice).expect("can be followed");
    assert_eq!(file.stage.cmd, ["a"]);
    // What no ARG asks for is not there.
    let env = [
        ("N".to_owned(), "given".to_owned()),
        ("X".to_owned(), String::new()),
    ];
    assert_eq!(file.stage.env, env);
    let other = DockerfileChoice {
        target: Some("three".to_owned()),
        ..DockerfileChoice::default()
    };
    let error = parse(&other).expect_err("no such stage").to_string();
    assert!(error.contains("there is no stage `three`"), "{error}");
}

proptest::proptest! {
    /// Instructions of any kind, in any order: an error that names its line, or a plan; never a panic.
    #[test]
    fn text_of_any_kind(lines in proptest::collection::vec(
        r#"(FROM|FROM python AS|COPY --from=0|RUN rm|RUN cp|RUN mkdir|RUN pip|RUN|COPY|ADD|ENV|ARG|CMD|ENTRYPOINT|WORKDIR|EXPOSE|LABEL|VOLUME|USER|SHELL|ONBUILD|#)? ?[-a-z0-9 =.,:/$\{\}"'\[\]&|;\\<>~*]{0,40}"#,
        0..12,
    )) {
        let _ = parse(&lines.join("\n"));
        let _ = parse(&format!("FROM python:3.14\n{}", lines.join("\n")));
    }

    #[test]
    fn characters_of_any_kind(text in ".*") {
        let _ = parse(&text);
    }
}

#[test]
fn the_tools_that_install_a_project_are_followed() {
    let file = parsed(
        "FROM ghcr.io/astral-sh/uv:python3.12-bookworm-slim AS builder\nWORKDIR /app\nRUN --mount=type=cache,target=/root/.cache/uv --mount=type=bind,source=uv.lock,target=uv.lock --mount=type=bind,source=pyproject.toml,target=pyproject.toml uv sync --frozen --no-install-project --no-dev --extra web --group=docs\nFROM python:3.12-slim\nRUN apt-get update && apt-get install -y --no-install-recommends gcc libpq-dev && rm -rf /var/lib/apt/lists/*\nCOPY --from=builder /app/.venv /app/.venv\nENV PATH=\"/app/.venv/bin:$PATH\"\nCOPY . /app\nWORKDIR /app\nCMD [\"uv\", \"run\", \"--no-sync\", \"server.py\"]",
    );
    let [install] = &file.stage.installs[..] else {
        panic!("{:?}", file.stage.installs);
    };
    let tool = "uv".to_owned();
    let optional = Optional {
        extras: vec!["web".to_owned()],
        groups: vec!["docs".to_owned()],
    };
    assert_eq!(install.what, Installed::Project { tool, optional });
    let bound: Vec<_> = install
        .files
        .iter()
        .filter_map(|step| step.action.dest().map(GuestPath::as_str))
        .collect();
    assert_eq!(bound, ["/app/uv.lock", "/app/pyproject.toml"]);
    assert_eq!(file.stage.cmd, ["python", "server.py"]);
    assert_eq!(
        file.stage.env,
        [(
            "PATH".into(),
            "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin".into()
        )]
    );

    let file = parsed(
        "FROM python:3\nRUN curl -LsSf https://astral.sh/uv/install.sh | sh\nRUN pip install poetry==1.8 && poetry config virtualenvs.create false\nCOPY pyproject.toml .\nRUN poetry install --only main -E \"a b\"\nRUN poetry run python -m x\nCMD poetry run gunicorn -b :8000 x:app",
    );
    assert_eq!(file.stage.installs.len(), 1);
    assert_eq!(file.stage.cmd, ["gunicorn", "-b", ":8000", "x:app"]);
}

#[test]
fn all_lines_that_cannot_be_followed_are_told_at_once() {
    let error = parse(
        "FROM python:3\nRUN make install\nCOPY . .\nRUN curl http://x.example/y | sh\nFOLDER /x\n",
    )
    .expect_err("refused");
    assert!(error.contains("Dockerfile:5: "), "{error}");
    let error = parse(
        "FROM python:3 AS one\nRUN make install\nFROM python:3\nCOPY --from=one /a /a\nCOPY --from=one /b /b\nADD --x=1 . .\nRUN curl http://x.example/y | sh\n",
    )
    .expect_err("refused");
    let lines: Vec<&str> = error
        .lines()
        .map(|line| line.split(' ').next().unwrap_or(""))
        .collect();
    assert_eq!(
        lines,
        ["Dockerfile:2:", "Dockerfile:6:", "Dockerfile:7:"],
        "{error}"
    );
}
