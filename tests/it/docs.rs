//! The examples of the docs: every `console` block is run, and prints what it shows.

use crate::support::cache;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn console_blocks_print_what_they_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binaries = Path::new(env!("CARGO_BIN_EXE_pywasm"))
        .parent()
        .expect("a folder");
    let path = format!(
        "{}:{}",
        binaries.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut count = 0;
    for file in ["README.md", "docs/packaging.md", "docs/package-format.md"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        for block in text.split("```console\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            for example in block.split("$ ").skip(1) {
                let (command, shown) = example.split_once('\n').expect("a command and its output");
                let output = Command::new("sh")
                    .args(["-c", command])
                    .current_dir(&root)
                    .env("PATH", &path)
                    .env("PYWASM_CACHE", cache())
                    .stdin(Stdio::null())
                    .output()
                    .expect("sh runs");
                let printed = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert_eq!(printed, shown, "{file}: {command}\n{errors}");
                count += 1;
            }
        }
    }
    assert!(count >= 3, "the README has examples");
}
