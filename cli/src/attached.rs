//! Values that stand right behind their short flag, as in `-p8080:80`, `-eDEBUG=1` and `-m=512m`.
//!
//! clap reads these as well, but not where what follows the flags may begin with a hyphen itself, as the arguments of an app may:
//! there it takes the word for the app.

use clap::{Arg, Command, CommandFactory};
use std::ffi::OsString;

/// The command line with such values as words of their own.
pub fn detached(given: Vec<OsString>) -> Vec<OsString> {
    let attached = |word: &OsString| word.to_str().is_some_and(|word| cluster(word).is_some());
    match given.iter().any(attached) {
        true => detached_of(given, &mut crate::args::Cli::command()),
        false => given,
    }
}

/// What stands behind the hyphen, of a word with more than one flag or with a flag's value.
fn cluster(word: &str) -> Option<&str> {
    let rest = word.strip_prefix('-')?;
    (!rest.starts_with('-') && rest.chars().count() > 1).then_some(rest)
}

fn detached_of(given: Vec<OsString>, command: &mut Command) -> Vec<OsString> {
    let mut words = given.into_iter();
    let mut out: Vec<OsString> = words.next().into_iter().collect();
    command.build();
    let mut verb = &*command;
    while let Some(word) = words.next() {
        let Some(text) = word.to_str() else {
            out.push(word);
            break;
        };
        if let Some(further) = verb.find_subcommand(text) {
            verb = further;
            out.push(word);
            continue;
        }
        // The app and all that is its own.
        if !text.starts_with('-') || text == "--" {
            out.push(word);
            break;
        }
        let (flags, value) = split(text, verb);
        let wants_another = value.is_none() && takes_value(last(flags, verb));
        out.push(flags.into());
        out.extend(value.map(OsString::from));
        if wants_another {
            out.extend(words.next());
        }
    }
    out.extend(words);
    out
}

/// A word's flags, and the value of the last one of them where it is attached.
fn split<'w>(word: &'w str, verb: &Command) -> (&'w str, Option<&'w str>) {
    let Some(rest) = cluster(word) else {
        return (word, None);
    };
    for (at, letter) in rest.char_indices() {
        let Some(flag) = short(letter, verb) else {
            return (word, None);
        };
        let (flags, value) = word.split_at(1 + at + letter.len_utf8());
        if takes_value(Some(flag)) && !value.is_empty() {
            return (flags, Some(value.strip_prefix('=').unwrap_or(value)));
        }
    }
    (word, None)
}

/// The flag of a word that a value may follow.
fn last<'v>(word: &str, verb: &'v Command) -> Option<&'v Arg> {
    match word.strip_prefix("--") {
        Some(name) => verb
            .get_arguments()
            .find(|arg| arg.get_long() == Some(name)),
        None => short(word.chars().next_back()?, verb),
    }
}

fn short(letter: char, verb: &Command) -> Option<&Arg> {
    verb.get_arguments()
        .find(|arg| arg.get_short() == Some(letter))
}

fn takes_value(flag: Option<&Arg>) -> bool {
    flag.is_some_and(|flag| flag.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> String {
        let words = detached(line.split(' ').map(OsString::from).collect());
        let words: Vec<_> = words
            .iter()
            .map(|word| word.to_str().expect("UTF-8"))
            .collect();
        words.join(" ")
    }

    #[test]
    fn attached_values_become_words() {
        assert_eq!(
            of("pywasm run -p8080:80 -eX=1 app"),
            "pywasm run -p 8080:80 -e X=1 app"
        );
        assert_eq!(
            of("pywasm run -m=512m -itp 80:80 app"),
            "pywasm run -m 512m -itp 80:80 app"
        );
        assert_eq!(
            of("pywasm run -itp80:80 -v.:/x app"),
            "pywasm run -itp 80:80 -v .:/x app"
        );
    }

    #[test]
    fn what_is_the_apps_stays() {
        for line in [
            "pywasm run app -p8080:80",
            "pywasm run -e -p80 -m 1g app -m512m",
            "pywasm run -- -p80",
            "pywasm run --env -p80 app",
            "pywasm run -xyz app",
            "pywasm python -c print(1) -eX=1",
        ] {
            assert_eq!(of(line), line);
        }
    }
}
