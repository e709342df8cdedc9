//! A part of CPython's own test suite, in the sandbox: a change that loses one of its cases fails here. All of the suite,
//! and what is expected of it, is in `guests/cpython/conformance`.

use crate::support::{pywasm, run};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Modules at once.
const WORKERS: usize = 2;

/// By module, then by reason: cases, or `Class.*` for all of a class.
type Named = BTreeMap<String, BTreeMap<String, Vec<String>>>;

#[derive(Deserialize)]
struct Expected {
    fast: Vec<String>,
    fails: Named,
    left_out: Named,
    assume: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Record {
    passed: usize,
}

/// A line of what the driver writes.
#[derive(Deserialize)]
struct Event {
    case: Option<String>,
    outcome: Option<String>,
    #[serde(default)]
    detail: String,
    start: Option<String>,
    end: Option<bool>,
}

fn conformance() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/cpython/conformance")
}

fn read(name: &str) -> String {
    fs::read_to_string(conformance().join(name)).expect("it is in the repository")
}

fn named(table: &Named, module: &str) -> Vec<String> {
    table
        .get(module)
        .into_iter()
        .flat_map(BTreeMap::values)
        .flatten()
        .cloned()
        .collect()
}

fn names(pattern: &str, case: &str) -> bool {
    let class = pattern.strip_suffix('*');
    pattern == case || class.is_some_and(|class| class.ends_with('.') && case.starts_with(class))
}

/// Runs a module, or `only` these cases of it: what became of each, and which one ended the instance, if one did.
fn outcomes(
    tests: &Path,
    module: &str,
    only: Option<&[String]>,
    expected: &Expected,
) -> BTreeMap<String, (String, String)> {
    let results = tempfile::tempdir().expect("a folder");
    let work = tempfile::tempdir().expect("a folder");
    let plan = json!({
        "module": module,
        "leave_out": named(&expected.left_out, module),
        "only": only,
        "assume": expected.assume.get(module).cloned().unwrap_or_default(),
        "limit": 500,
    });
    fs::write(results.path().join("plan.json"), plan.to_string()).expect("written");
    let inside = conformance().join("inside");
    let volumes = [
        (tests.to_owned(), "/suite/test:ro"),
        (inside.clone(), "/conformance:ro"),
        (
            inside.join("site-packages"),
            "/usr/local/lib/python3.14/site-packages:ro",
        ),
        (work.path().to_owned(), "/work"),
        (results.path().to_owned(), "/results"),
    ];
    let mut command = pywasm([
        "python",
        "--memory",
        "2g",
        "--timeout",
        "600s",
        "--workdir",
        "/work",
    ]);
    for (folder, place) in volumes {
        command
            .arg("--volume")
            .arg(format!("{}:{place}", folder.display()));
    }
    command.args(["/conformance/driver.py", "/results", "/suite"]);
    let ended = run(command);
    let log = fs::read_to_string(results.path().join("outcomes.jsonl")).unwrap_or_default();
    let (mut found, mut running, mut complete) = (BTreeMap::new(), "the import".to_owned(), false);
    for line in log.lines() {
        let event: Event = serde_json::from_str(line).expect("the driver writes events");
        if let (Some(case), Some(outcome)) = (event.case, event.outcome) {
            found.insert(case, (outcome, event.detail));
        }
        running = event.start.unwrap_or(running);
        complete |= event.end.is_some();
    }
    if !complete {
        let said = format!(
            "ended the instance with {:?}\n{}{}",
            ended.code, ended.stdout, ended.stderr
        );
        found.insert(running, ("error".to_owned(), said));
    }
    found
}

/// Each case of a module that should pass and does not, and how many there are too few.
fn lost(tests: &Path, module: &str, expected: &Expected, record: &Record) -> Vec<String> {
    let fails = named(&expected.fails, module);
    let is_lost = |case: &str, outcome: &str| {
        !["passed", "expected", "skipped"].contains(&outcome)
            && !fails.iter().any(|pattern| names(pattern, case))
    };
    let mut found = outcomes(tests, module, None, expected);
    let again: Vec<String> = found
        .iter()
        .filter(|(case, (outcome, _))| is_lost(case, outcome))
        .map(|(case, _)| case.clone())
        .collect();
    if !again.is_empty() {
        // A busy machine fails cases that count on time.
        found.extend(outcomes(tests, module, Some(&again), expected));
    }
    let passed = found
        .values()
        .filter(|(outcome, _)| outcome == "passed")
        .count();
    let lost = found
        .iter()
        .filter(|(case, (outcome, _))| is_lost(case, outcome));
    let mut lost: Vec<String> = lost
        .map(|(case, (outcome, detail))| format!("{module} {case}: {outcome}\n{detail}"))
        .collect();
    if passed < record.passed {
        lost.push(format!(
            "{module}: {passed} cases passed, {} are on record",
            record.passed
        ));
    }
    lost
}

#[test]
fn no_case_of_cpythons_own_tests_is_lost() {
    let expected: Expected = toml::from_str(&read("expected.toml")).expect("a table");
    let record: BTreeMap<String, Record> =
        serde_json::from_str(&read("record.json")).expect("a record");
    let suite = tempfile::tempdir().expect("a folder");
    let archive =
        fs::File::open(conformance().join("fast.tar.gz")).expect("it is in the repository");
    tar::Archive::new(GzDecoder::new(archive))
        .unpack(suite.path())
        .expect("unpacked");
    let tests = suite.path().join("test");
    let (waiting, lost_cases) = (Mutex::new(expected.fast.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(module) = { waiting.lock().expect("no panic").next() } {
                    let found = lost(&tests, module, &expected, &record[module]);
                    lost_cases.lock().expect("no panic").extend(found);
                }
            });
        }
    });
    let lost_cases = lost_cases.into_inner().expect("no panic");
    assert!(lost_cases.is_empty(), "{}", lost_cases.join("\n\n"));
}
