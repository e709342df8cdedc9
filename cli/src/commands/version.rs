//! `pywasm version`

use crate::printer;
use std::process::ExitCode;

pub fn version() -> anyhow::Result<ExitCode> {
    printer::result(&format!(
        "pywasm {}\npython {}",
        env!("CARGO_PKG_VERSION"),
        pywasm_guest::PYTHON_VERSION
    ));
    Ok(ExitCode::SUCCESS)
}
