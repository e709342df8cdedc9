use super::*;

fn parse(text: &str) -> Result<Dockerfile, String> {
    Dockerfile::parse(Path::new("Dockerfile"), text).map_err(|error| error.to_string())
}

fn parsed(text: &str) -> Dockerfile {
    parse(text).expect("can be followed")
}

#[test]
fn the_common_dockerfile() {
    let file = parsed(
        "FROM python:3.8-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install --upgrade pip && pip install --no-cache-dir -r requirements.txt\nCOPY . .\nENV A=1 B=\"two words\"\nENV A=2\nEXPOSE 5000 53/udp\nLABEL x=y\nCMD [\"python\", \"app.py\"]\n",
    );
    assert_eq!(file.working_dir().as_str(), "/app");
    assert_eq!(file.cmd, ["python", "app.py"]);
    assert_eq!(
        file.env,
        [("A".into(), "2".into()), ("B".into(), "two words".into())]
    );
    assert_eq!(file.exposed_ports.len(), 2);
    assert_eq!(file.installs.len(), 1);
    assert_eq!(
        file.installs[0].arguments,
        ["--no-cache-dir", "-r", "requirements.txt"]
    );
    assert_eq!(file.copies[0].dest.as_str(), "/app");
    assert!(file.copies[0].into_folder);
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
    assert_eq!(file.working_dir().as_str(), "/srv/sub");
    assert_eq!(file.entrypoint, ["python", "-m", "app"]);
    assert_eq!(file.cmd, ["--port", "80"]);
    assert_eq!(
        parsed("FROM python\nCMD a\nENTRYPOINT [\"b\"]").cmd,
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
            "FROM python:3\nFROM python:3",
            "Dockerfile:2: a second FROM (the first is in line 1)",
        ),
        (
            "FROM python\nRUN apt-get update && apt-get install gcc",
            "there is no Linux in the sandbox",
        ),
        ("FROM python\nRUN make", "only `pip install` can be run"),
        ("FROM python\nRUN echo $X", "needs a shell"),
        ("FROM python\nCMD python app.py | tee log", "needs a shell"),
        (
            "FROM python\nCMD ['python', 'app.py']",
            "with double quotes",
        ),
        ("FROM python\nCOPY --from=build a b", "several stages"),
        (
            "FROM python\nADD x.tar.gz /app",
            "archives are not unpacked",
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

proptest::proptest! {
    /// Instructions of any kind, in any order: an error that names its line, or a plan; never a panic.
    #[test]
    fn text_of_any_kind(lines in proptest::collection::vec(
        r#"(FROM|RUN|COPY|ADD|ENV|ARG|CMD|ENTRYPOINT|WORKDIR|EXPOSE|LABEL|VOLUME|USER|SHELL|ONBUILD|#)? ?[-a-z0-9 =.,:/$\{\}"'\[\]&|;\\<>~*]{0,40}"#,
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
