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
    for file in [
        "README.md",
        "docs/packaging.md",
        "docs/package-format.md",
        "docs/policy.md",
    ] {
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

/// Every promise of the threat model names tests, and they are there.
#[test]
fn promises_are_held_by_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("docs/threat-model.md")).expect("the model");
    let mut sources = String::new();
    for folder in ["runtime/src", "front", "packager", "tests/it"] {
        let mut left = vec![root.join(folder)];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(&path).expect("a folder");
                left.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(&path).expect("text");
            }
        }
    }
    let promises = text
        .lines()
        .skip_while(|line| !line.starts_with("| promise"));
    let mut count = 0;
    for line in promises.skip(2).take_while(|line| line.starts_with('|')) {
        let tests = line.rsplit(" | ").next().unwrap_or_default();
        let names = tests.split('`').skip(1).step_by(2);
        let names: Vec<_> = names.filter(|name| !name.starts_with("cargo ")).collect();
        assert!(!names.is_empty(), "no test: {line}");
        for name in names {
            let function = name.rsplit("::").next().unwrap_or_default();
            let declared = [format!("fn {function}("), format!("mod {function};")];
            let file = root.join(format!("packager/format/tests/{function}.rs"));
            let there = declared.iter().any(|text| sources.contains(text)) || file.is_file();
            assert!(there, "{name} is not there");
        }
        count += 1;
    }
    assert!(count >= 20, "{count} promises");
}
