//! Small programs that every image has. A package has Python alone, which does the same.

/// Those that are there, with Python that does the same with their arguments: as much of it as people look into a container with.
const ALL: [(&str, &str); 11] = [
    ("cat", include_str!("programs/cat.py")),
    ("clear", r#"print("\033[H\033[2J\033[3J", end="")"#),
    ("echo", include_str!("programs/echo.py")),
    ("env", include_str!("programs/env.py")),
    ("false", "raise SystemExit(1)"),
    ("ls", include_str!("programs/ls.py")),
    ("printenv", include_str!("programs/printenv.py")),
    // There are none that it could tell of: libraries that ask which shell they are in go on without.
    (
        "ps",
        "import sys; sys.argv[1:] or print('PID TTY TIME CMD')",
    ),
    ("pwd", include_str!("programs/pwd.py")),
    ("sleep", include_str!("programs/sleep.py")),
    ("true", ""),
];

/// Python that starts programs one after the other, as its argument says in JSON.
pub(crate) const SEQUENCE: &str = include_str!("programs/sequence.py");

/// Python that does what the program `name` does.
pub(crate) fn in_python(name: &str) -> Option<&'static str> {
    ALL.iter()
        .find(|(program, _)| *program == name)
        .map(|(_, code)| *code)
}
