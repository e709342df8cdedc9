//! Texts of packages and of guests in messages of ours.

use std::borrow::Cow;

/// The same without control characters, by which a name would take over a terminal or make up a line of its own.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, &[])
}

/// The same, but for those that are `kept`: those of text that has lines of its own.
pub fn escaped_but<'t>(text: &'t str, kept: &[char]) -> Cow<'t, str> {
    let controls = |c: char| c.is_control() && !kept.contains(&c);
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match controls(c) {
            true => plain.extend(c.escape_debug()),
            false => plain.push(c),
        }
    }
    Cow::Owned(plain)
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
