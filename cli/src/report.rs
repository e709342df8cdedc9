//! Errors as people see them, and the exit code of each.

use clap::error::ErrorKind;
use std::process::ExitCode;

/// An error of ours or of the person's, as opposed to one of the app.
const OURS: u8 = 125;
/// A program that the package does not have.
const NOT_FOUND: u8 = 127;

/// A failed command: the whole chain of causes on one line.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    crate::printer::error(&format!("{error:#}"));
    let not_found = error.downcast_ref::<pywasm::CommandError>().is_some();
    ExitCode::from(if not_found { NOT_FOUND } else { OURS })
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
