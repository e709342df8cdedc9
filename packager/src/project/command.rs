//! What a project starts.

use pywasm_format::{ExposedPort, shell};

/// A command line in docker's two halves: arguments given at start replace `cmd`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
    pub(super) ports: Vec<ExposedPort>,
    /// Nobody says it: it is what projects with such files are started with.
    pub(super) is_guess: bool,
}

/// The file that `python FILE …` would run, as it stands in the command.
pub(super) fn script(line: &[String]) -> Option<&str> {
    let (program, rest) = line.split_first()?;
    let digits = program.strip_prefix("python")?;
    if !digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let mut rest = rest.iter().map(String::as_str);
    loop {
        match rest.next()? {
            "-u" | "-B" | "-E" | "-I" | "-O" | "-OO" | "-q" | "-s" | "-S" | "-v" => {}
            "-W" | "-X" => drop(rest.next()),
            option if option.starts_with('-') => return None,
            file => return Some(file),
        }
    }
}

/// The words of a command line, or those that give it to a shell where it has variables or several programs; the error says
/// what in it needs a real shell.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    match split(line) {
        Some(words) => Ok(unwrapped(words)),
        None => checked(shell::command(line, "sh")),
    }
}

/// `uv run --frozen gunicorn app:app` starts gunicorn: what it installs before is in the package.
pub fn unwrapped(line: Vec<String>) -> Vec<String> {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let ["uv" | "poetry" | "pipenv" | "pdm", "run", rest @ ..] = &words[..] else {
        return line;
    };
    // Of the options those that take a value are uv's.
    const WITH_VALUE: [&str; 8] = [
        "--package",
        "--project",
        "--directory",
        "--python",
        "-p",
        "--extra",
        "--group",
        "--env-file",
    ];
    let mut rest = rest.iter().copied().peekable();
    let mut is_module = false;
    while let Some(option) = rest.next_if(|word| word.starts_with('-')) {
        match option {
            "--" => break,
            "-m" | "--module" => is_module = true,
            option if WITH_VALUE.contains(&option) => drop(rest.next()),
            _ => {}
        }
    }
    let is_file = rest.peek().is_some_and(|word| word.ends_with(".py"));
    let python: &[&str] = match (is_module, is_file) {
        (true, _) => &["python", "-m"],
        (_, true) => &["python"],
        _ => &[],
    };
    python
        .iter()
        .copied()
        .chain(rest)
        .map(str::to_owned)
        .collect()
}

/// `line`, unless it gives a shell what needs one.
pub(super) fn checked(line: Vec<String>) -> Result<Vec<String>, String> {
    if let Some((text, arguments)) = shell::script(&line) {
        let steps = shell::steps(text, arguments, &[]);
        let steps = steps.map_err(|error| format!("{error}; {}", shell::WAY_OUT))?;
        if steps.is_empty() {
            return Err("it starts no program".to_owned());
        }
    }
    Ok(line)
}

/// Splits a command as a shell would, for commands that need no shell: quotes and backslashes are
/// understood; variables, pipes, globs and everything else that only a shell does give `None`.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '$' | '`' => return None,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            // No file has a name that begins with an option, so a shell leaves it as it is.
            '*' | '?' if word.as_deref().is_some_and(|word| word.starts_with('-')) => {
                word.get_or_insert_default().push(character);
            }
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '{' | '}' => {
                return None;
            }
            '[' | '~' if word.is_none() => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_like_a_shell() {
        let split = |text: &str| split(text).map(|words| words.join("|"));
        assert_eq!(split("python app.py"), Some("python|app.py".into()));
        assert_eq!(
            split("  a 'b c' \"d \\\" e\" f\\ g ''"),
            Some("a|b c|d \" e|f g|".into())
        );
        assert_eq!(split("a --allow=* b"), Some("a|--allow=*|b".into()));
        for shell in [
            "a && b",
            "echo $PORT",
            "a | b",
            "a > b",
            "'open",
            "ls *.py",
            "a;b",
        ] {
            assert_eq!(split(shell), None, "{shell}");
        }
    }

    #[test]
    fn scripts() {
        let script = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            script(&words).map(str::to_owned)
        };
        assert_eq!(script("python app.py -x"), Some("app.py".into()));
        assert_eq!(script("python3 -u -W ignore a/b.py"), Some("a/b.py".into()));
        for none in [
            "python -m http.server",
            "python -c x",
            "flask run",
            "python",
            "pythonic x",
        ] {
            assert_eq!(script(none), None, "{none}");
        }
    }
}
