//! The words of a shell's text, and what variables make of them.

use super::ShellError;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// One command, and what ends it.
#[derive(Debug)]
pub(super) struct Line {
    /// In which line of the text it ends, from 1.
    pub(super) number: usize,
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) end: Token,
}

impl Line {
    /// The first word, where nothing in it is quoted or replaced.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.words.first().map(|word| word.0.as_slice()) {
            Some([Part::Text(text)]) => Some(text),
            _ => None,
        }
    }
}

impl Word {
    /// Is it the same whatever the variables and arguments are?
    pub(super) fn is_fixed(&self) -> bool {
        let fixed = |part: &Part| matches!(part, Part::Text(_) | Part::Quoted(_));
        self.0.iter().all(fixed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    And,
    Or,
    /// `;`, a new line or the end.
    Next,
}

/// A word before variables are replaced.
#[derive(Debug, Default)]
pub(super) struct Word(Vec<Part>);

#[derive(Debug)]
enum Part {
    /// Outside of quotes.
    Text(String),
    /// Inside of quotes, or escaped.
    Quoted(String),
    Variable {
        name: String,
        instead: Option<Instead>,
        quoted: bool,
    },
    /// `$@` and `$*`.
    Arguments { quoted: bool, joined: bool },
}

/// What follows a variable's name.
#[derive(Debug)]
struct Instead {
    /// `+` in place of `-`.
    if_set: bool,
    /// With a colon: an empty variable is like none.
    or_empty: bool,
    text: String,
}

/// Takes a text apart.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, ShellError> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
    };
    reader.lines().map_err(|what| ShellError {
        what,
        line: reader.line,
    })
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// From 1.
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn next_if(&mut self, test: impl FnOnce(&char) -> bool) -> Option<char> {
        match self.rest.peek().is_some_and(test) {
            true => self.next(),
            false => None,
        }
    }

    fn lines(&mut self) -> Result<Vec<Line>, String> {
        let mut lines = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        loop {
            let number = self.line;
            let end = match self.rest.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.next();
                    continue;
                }
                Some('#') => {
                    while self.next_if(|c| *c != '\n').is_some() {}
                    continue;
                }
                Some('&' | '|' | ';' | '\n') => self.operator()?,
                Some(_) => {
                    words.push(self.word()?);
                    continue;
                }
                None => Token::Next,
            };
            if !words.is_empty() {
                lines.push(line(number, std::mem::take(&mut words), end));
            } else if end != Token::Next {
                return Err(match end {
                    Token::And => "&&",
                    _ => "||",
                }
                .to_owned());
            }
            if self.rest.peek().is_none() {
                return Ok(lines);
            }
        }
    }

    fn operator(&mut self) -> Result<Token, String> {
        let first = self.next().unwrap_or('\n');
        let twice = self.next_if(|c| *c == first && *c != '\n').is_some();
        let token = match (first, twice) {
            ('&', true) => Token::And,
            ('|', true) => Token::Or,
            (';', true) => return Err(";;".to_owned()),
            ('&' | '|', false) => return Err(first.to_string()),
            _ => return Ok(Token::Next),
        };
        // The command goes on in the next line.
        while self.next_if(|c| c.is_whitespace()).is_some() {}
        Ok(token)
    }

    fn word(&mut self) -> Result<Word, String> {
        let mut word = Word::default();
        while let Some(character) = self.rest.peek().copied() {
            if matches!(character, ' ' | '\t' | '\r' | '\n' | '&' | '|' | ';') {
                break;
            }
            self.next();
            match character {
                '\'' => word.push_quoted(&self.single()?),
                '"' => self.double(&mut word)?,
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(escaped) => word.push_quoted(&escaped.to_string()),
                },
                '$' => self.dollar(&mut word, false)?,
                '`' | '<' | '>' | '(' | ')' | '*' | '?' => return Err(character.to_string()),
                '[' | '~' if word.0.is_empty() && self.rest.peek().is_some_and(|c| *c != ' ') => {
                    return Err(character.to_string());
                }
                plain => word.push(plain),
            }
        }
        Ok(word)
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\'') => return Ok(text),
                Some(inner) => text.push(inner),
                None => return Err("' without its pair".to_owned()),
            }
        }
    }

    fn double(&mut self, word: &mut Word) -> Result<(), String> {
        // Even an empty pair is a word.
        word.push_quoted("");
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('$') => self.dollar(word, true)?,
                Some('`') => return Err("`".to_owned()),
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(escaped @ ('"' | '\\' | '$' | '`')) => {
                        word.push_quoted(&escaped.to_string())
                    }
                    Some(other) => word.push_quoted(&format!("\\{other}")),
                    None => return Err("\" without its pair".to_owned()),
                },
                Some(inner) => word.push_quoted(&inner.to_string()),
                None => return Err("\" without its pair".to_owned()),
            }
        }
    }

    /// What follows a `$`.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), String> {
        let is_name = |c: &char| *c == '_' || c.is_ascii_alphanumeric();
        let part = match self.rest.peek().copied() {
            Some(all @ ('@' | '*')) => {
                self.next();
                let joined = all == '*' && quoted;
                Part::Arguments { quoted, joined }
            }
            Some('{') => {
                self.next();
                self.braced(quoted)?
            }
            Some(digit) if digit.is_ascii_digit() => {
                self.next();
                variable(digit.to_string(), None, quoted)
            }
            Some(letter) if is_name(&letter) => {
                let mut name = String::new();
                while let Some(letter) = self.next_if(is_name) {
                    name.push(letter);
                }
                variable(name, None, quoted)
            }
            Some(special @ ('(' | '#' | '?' | '$' | '!' | '-' | '\'' | '"'))
                if !(quoted && special == '"') =>
            {
                return Err(format!("${special}"));
            }
            _ => {
                word.push_quoted("$");
                return Ok(());
            }
        };
        word.0.push(part);
        Ok(())
    }

    /// What follows a `${`.
    fn braced(&mut self, quoted: bool) -> Result<Part, String> {
        let mut inner = String::new();
        loop {
            match self.next() {
                Some('}') => break,
                Some(character) => inner.push(character),
                None => return Err("${ without its }".to_owned()),
            }
        }
        let whole = || format!("${{{inner}}}");
        if inner == "@" || inner == "*" {
            let joined = inner == "*" && quoted;
            return Ok(Part::Arguments { quoted, joined });
        }
        let end = inner.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        let (name, rest) = inner.split_at(end.unwrap_or(inner.len()));
        if name.is_empty() {
            return Err(whole());
        }
        if rest.is_empty() {
            return Ok(variable(name.to_owned(), None, quoted));
        }
        let (or_empty, operator) = match rest.strip_prefix(':') {
            Some(after) => (true, after),
            None => (false, rest),
        };
        let if_set = operator.starts_with('+');
        let text = operator.strip_prefix(['-', '=', '+']).ok_or_else(whole)?;
        // One level is enough for a port.
        if text.contains(['$', '`', '"', '\'', '\\', '{']) {
            return Err(whole());
        }
        let text = text.to_owned();
        let instead = Instead {
            if_set,
            or_empty,
            text,
        };
        Ok(variable(name.to_owned(), Some(instead), quoted))
    }
}

fn variable(name: String, instead: Option<Instead>, quoted: bool) -> Part {
    Part::Variable {
        name,
        instead,
        quoted,
    }
}

fn line(number: usize, words: Vec<Word>, end: Token) -> Line {
    let mut assignments = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some((name, value)) = words.peek_mut().and_then(Word::assignment) {
        assignments.push((name, value));
        words.next();
    }
    Line {
        number,
        assignments,
        words: words.collect(),
        end,
    }
}

impl Word {
    fn push(&mut self, character: char) {
        match self.0.last_mut() {
            Some(Part::Text(text)) => text.push(character),
            _ => self.0.push(Part::Text(character.into())),
        }
    }

    fn push_quoted(&mut self, more: &str) {
        match self.0.last_mut() {
            Some(Part::Quoted(text)) => text.push_str(more),
            _ => self.0.push(Part::Quoted(more.to_owned())),
        }
    }

    /// Takes `NAME=value` apart.
    fn assignment(&mut self) -> Option<(String, Self)> {
        let Some(Part::Text(first)) = self.0.first_mut() else {
            return None;
        };
        let (name, value) = first.split_once('=')?;
        let is_name = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty();
        if !is_name {
            return None;
        }
        let (name, value) = (name.to_owned(), value.to_owned());
        *first = value;
        Some((name, std::mem::take(self)))
    }
}

/// The words with their variables replaced; unquoted ones may be several words, or none.
pub(super) fn fields(
    words: &[Word],
    arguments: &[String],
    variables: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut fields = Vec::new();
    for word in words {
        let mut builder = Fields::default();
        for part in &word.0 {
            match part {
                Part::Text(text) | Part::Quoted(text) => builder.add(text),
                Part::Variable {
                    name,
                    instead,
                    quoted,
                } => {
                    let value = match name.parse::<usize>() {
                        Ok(0) => Some("sh"),
                        Ok(number) => arguments.get(number - 1).map(String::as_str),
                        Err(_) => variables.get(name).map(String::as_str),
                    };
                    let value = replaced(value, instead.as_ref());
                    match quoted {
                        true => builder.add(value),
                        false => builder.split(value),
                    }
                }
                Part::Arguments { joined: true, .. } => builder.add(&arguments.join(" ")),
                Part::Arguments { quoted, .. } => {
                    for (number, argument) in arguments.iter().enumerate() {
                        if number > 0 {
                            builder.end();
                        }
                        match quoted {
                            true => builder.add(argument),
                            false => builder.split(argument),
                        }
                    }
                }
            }
        }
        builder.end();
        // `"$@"` without arguments is no word, though it is quoted.
        let only_arguments = matches!(word.0[..], [Part::Quoted(ref empty), Part::Arguments { .. }] if empty.is_empty());
        if !(only_arguments && arguments.is_empty()) {
            fields.append(&mut builder.done);
        }
    }
    fields
}

fn replaced<'v>(value: Option<&'v str>, instead: Option<&'v Instead>) -> &'v str {
    let Some(instead) = instead else {
        return value.unwrap_or_default();
    };
    let there = value.filter(|value| !(instead.or_empty && value.is_empty()));
    match (there, instead.if_set) {
        (Some(_), true) => &instead.text,
        (Some(value), false) => value,
        (None, true) => "",
        (None, false) => &instead.text,
    }
}

#[derive(Default)]
struct Fields {
    done: Vec<String>,
    current: Option<String>,
}

impl Fields {
    fn add(&mut self, text: &str) {
        self.current.get_or_insert_default().push_str(text);
    }

    fn end(&mut self) {
        self.done.extend(self.current.take());
    }

    /// Adds an unquoted value, which blanks divide.
    fn split(&mut self, value: &str) {
        if value.starts_with(char::is_whitespace) {
            self.end();
        }
        for (number, piece) in value.split_whitespace().enumerate() {
            if number > 0 {
                self.end();
            }
            self.add(piece);
        }
        if value.ends_with(char::is_whitespace) {
            self.end();
        }
    }
}
