use super::*;

fn started(text: &str, arguments: &[&str], env: &[(&str, &str)]) -> Result<String, ShellError> {
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let env: Vec<(String, String)> = env
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let steps = steps(text, &arguments, &env)?;
    let show = |step: &Step| {
        let sign = match step.when {
            When::Always => ";",
            When::Success => "&&",
            When::Failure => "||",
        };
        let env: String = step.env.iter().map(|(n, v)| format!("{n}={v} ")).collect();
        let folder = step
            .folder
            .as_ref()
            .map(|f| format!("{f}: "))
            .unwrap_or_default();
        let last = if step.is_last { " ." } else { "" };
        format!("{sign} {folder}{env}{}{last}", step.words.join("|"))
    };
    Ok(steps.iter().map(show).collect::<Vec<_>>().join(" "))
}

#[test]
fn what_images_start() {
    let env = [("PORT", "8080"), ("EXTRA", "--reload  -w 2"), ("EMPTY", "")];
    for (text, expected) in [
        ("python app.py", "; python|app.py"),
        (
            "exec gunicorn --bind :$PORT --workers 1 main:app",
            "; gunicorn|--bind|:8080|--workers|1|main:app .",
        ),
        (
            "python manage.py migrate && python manage.py runserver 0.0.0.0:${PORT:-8000}",
            "; python|manage.py|migrate && python|manage.py|runserver|0.0.0.0:8080",
        ),
        (
            "a ${NONE:-8000} ${EMPTY:-x} ${EMPTY-y} ${PORT:+set}",
            "; a|8000|x|set",
        ),
        ("a; b || c\nd", "; a ; b || c ; d"),
        ("set -e\na\nb", "; a && b"),
        ("set -euo pipefail; a; b", "; a && b"),
        (
            "a $EXTRA \"$EXTRA\" $EMPTY \"$EMPTY\"",
            "; a|--reload|-w|2|--reload  -w 2|",
        ),
        ("A=1 B=$PORT a $A", "; A=1 B=8080 a"),
        ("A=1; export B=2 && a $A $B", "; B=2 a|1|2"),
        ("cd src && a; cd api; b", "; src: a ; src/api: b"),
        ("cd /srv; a", "; /srv: a"),
        ("# first\na \\\n  -b # why\n", "; a|-b"),
        ("a 'x y' \"z \\\" $PORT\" p\\ q", "; a|x y|z \" 8080|p q"),
        ("a 5$ \"$\"", "; a|5$|$"),
        (": && true && a &&\n b", "; a && b"),
        (": || a; b", "; b"),
        ("a || exit 3", "; a || python|-c|raise SystemExit(3) ."),
        ("a; exit 0; b", "; a ; python|-c|raise SystemExit(0) . ; b"),
        ("", ""),
    ] {
        assert_eq!(started(text, &[], &env), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn arguments_of_a_script() {
    let script = "#!/bin/sh\nset -e\npython manage.py migrate\nexec \"$@\"\n";
    let line = ["gunicorn", "a b", "app:app"];
    let expected = "; python|manage.py|migrate && gunicorn|a b|app:app .";
    assert_eq!(started(script, &line, &[]), Ok(expected.to_owned()));
    // Without a command there is nothing to replace the script by.
    let expected = "; python|manage.py|migrate";
    assert_eq!(started(script, &[], &[]), Ok(expected.to_owned()));
    assert_eq!(
        started("a $1 $@ \"$*\"", &["x y", "z"], &[]),
        Ok("; a|x|y|x|y|z|x y z".to_owned())
    );
    // A command that has variables comes with a shell of its own.
    let line = ["/bin/sh", "-c", "A=1 b $PORT"];
    let env = [("PORT", "1")];
    assert_eq!(
        started("exec \"$@\"", &line, &env),
        Ok("; A=1 b|1 .".to_owned())
    );
}

#[test]
fn what_needs_a_shell_is_named() {
    for (text, what, line) in [
        ("a | b", "|", 1),
        ("a > log", ">", 1),
        ("a\nb &", "&", 2),
        ("a $(b)", "$(", 1),
        ("a\n\n`b`", "`", 3),
        ("ls *.py", "*", 1),
        ("a\nif b; then c; fi", "if", 2),
        ("until a; do b; done", "until", 1),
        ("[ -f x ] && a", "[", 1),
        ("a ${X%y}", "${X%y}", 1),
        ("a ${X:-$Y}", "${X:-$Y}", 1),
        ("a 'x", "' without its pair", 1),
        ("a \"x", "\" without its pair", 1),
        ("a ${X", "${ without its }", 1),
        ("&& a", "&&", 1),
        (". ./env", ".", 1),
        ("set -- a", "set --", 1),
        ("sh -c 'a; b'", "a; b", 1),
    ] {
        let expected = ShellError {
            what: what.to_owned(),
            line,
        };
        assert_eq!(started(text, &[], &[]), Err(expected), "{text}");
    }
    // One in another is enough, and thousands would take the reader's stack.
    let mut deep = "a".to_owned();
    for level in 0..4 {
        let expected = if level > DEEPEST {
            Err(())
        } else {
            Ok("; a".to_owned())
        };
        assert_eq!(started(&deep, &[], &[]).map_err(drop), expected, "{deep}");
        let quoted = deep.replace('\\', "\\\\").replace('"', "\\\"");
        deep = format!("sh -c \"{quoted}\"");
    }
}

#[test]
fn lines_for_a_shell() {
    let text = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        script(&words).map(|(text, rest)| format!("{text}|{}", rest.join(" ")))
    };
    assert_eq!(text("/bin/sh -c a"), Some("a|".to_owned()));
    assert_eq!(text("bash -ec a name x y"), Some("a|x y".to_owned()));
    for other in ["sh", "sh a.sh", "sh -c", "python -c a", "sh -x a"] {
        assert_eq!(text(other), None, "{other}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text(text in r#"[ -~\n]{0,60}|([$"'{}&|;\\ \n@a-c0-9:=+-]){0,40}"#) {
        let _ = steps(&text, &["x".to_owned()], &[("a".to_owned(), " b ".to_owned())]);
    }
}
