//! Errors as people see them, and the exit code of each.

use clap::error::ErrorKind;
use std::process::ExitCode;

/// An error of ours or of the person's, as opposed to one of the app.
const OURS: u8 = 125;
/// A program that the package does not have.
const NOT_FOUND: u8 = 127;

/// A failed command.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    crate::printer::error(&in_full(error));
    let not_found = error.downcast_ref::<pywasm::CommandError>().is_some();
    ExitCode::from(if not_found { NOT_FOUND } else { OURS })
}

/// The whole chain of causes on one line. Many errors hold their cause in their own words already: it is told once.
pub fn in_full(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    told
}

/// A command line that does not parse; also `--help` and `--version`, which are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when the terminal is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(OURS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || anyhow!("it is in use");
        let taken = || cause().context("cannot listen: it is in use; give another address");
        assert_eq!(
            in_full(&taken()),
            "cannot listen: it is in use; give another address"
        );
        assert_eq!(
            in_full(&taken().context("not started")),
            "not started: cannot listen: it is in use; give another address"
        );
        assert_eq!(
            in_full(&cause().context("not started")),
            "not started: it is in use"
        );
    }
}
