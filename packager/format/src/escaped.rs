//! Texts of packages and of guests in messages of ours.

use std::borrow::Cow;

/// The same without control characters, by which a name would take over a terminal or make up a line of its own.
pub fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.chars().fold(String::new(), with)),
    }
}

fn with(mut text: String, c: char) -> String {
    match c.is_control() {
        true => text.extend(c.escape_debug()),
        false => text.push(c),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestPath, UnpackError};

    #[test]
    fn names_stay_on_their_line() {
        assert_eq!(escaped("it's – ü"), "it's – ü");
        assert_eq!(
            escaped("a\u{1b}[2J\r\n\u{9b}1m"),
            "a\\u{1b}[2J\\r\\n\\u{9b}1m"
        );
        let relative = "a\nb".parse::<GuestPath>().expect_err("it is relative");
        let twice = UnpackError::Duplicate("\u{1b}c".to_owned());
        for error in [relative.to_string(), twice.to_string()] {
            assert_eq!(escaped(&error), error);
        }
    }
}
