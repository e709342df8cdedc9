//! Kills at any time: whatever the store was doing, every name in it stands for a whole package.

use crate::server::Registry;
use crate::support::{Person, project};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Each of the commands is killed so many times, 207 in all.
const TIMES: usize = 23;

#[test]
fn whatever_is_killed_whenever_every_name_stands_for_a_whole_package() {
    let registry = Registry::start();
    let far = format!("{}/me/far:1", registry.host());
    let author = Person::new();
    author.pack(&far, "from afar");
    author.says(&["push", "-q", &far]);
    let person = Person::new();
    person.pack("base", "still here");
    person.says(&["save", "base", "-o", "base.pkg"]);
    let apps = ["print(1)", "print(2)"].map(|text| project(&[("app.py", text)]));
    let [one, two] = apps.each_ref().map(|app| app.path().display().to_string());
    let attempts: [&[&str]; 9] = [
        &["pack", "-q", "--no-snapshot", "-t", "a", &one],
        &["load", "-i", "base.pkg", "-t", "b"],
        &["pull", "-q", &far],
        &["tag", "base", "c"],
        &["pack", "-q", "--no-snapshot", "-t", "a", &two],
        &["rmi", "-f", "b"],
        &["rmi", "-f", &far],
        &["system", "prune"],
        &["rmi", "-f", "a"],
    ];
    // The first time some of them also unpack and compile.
    for args in attempts {
        person.says(args);
    }
    // How long each takes, to kill it in its midst: measured here, and mended by each round, as another
    // test may leave the machine slower or faster than it is now.
    let mut lengths: Vec<Duration> = attempts
        .iter()
        .map(|args| {
            let started = Instant::now();
            person.says(args);
            started.elapsed()
        })
        .collect();
    let store = person.store();
    let mut killed = vec![0; attempts.len()];
    for round in 0..TIMES * attempts.len() {
        let number = round % attempts.len();
        let mut child = person
            .command(attempts[number])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        // Spread over the whole run, and never twice at the same place.
        let share = u32::try_from(round * 37 % 101).expect("below 101");
        let started = Instant::now();
        let moment = lengths[number] * share / 101;
        while started.elapsed() < moment && child.try_wait().expect("our child").is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let ran = started.elapsed();
        child.kill().expect("our child");
        if child.wait().expect("our child").code().is_none() {
            killed[number] += 1;
            lengths[number] = lengths[number] * 9 / 8;
        } else {
            lengths[number] = ran;
        }
        store.verify().unwrap_or_else(|error| {
            panic!("round {round}, {:?}: {error}", attempts[number]);
        });
    }
    assert!(
        killed.iter().all(|times| *times > TIMES / 3),
        "so many of {TIMES} were killed in time: {killed:?}"
    );
    assert_eq!(person.says(&["run", "base"]), "still here\n");
    person.says(&["pull", "-q", &far]);
    assert_eq!(person.says(&["run", &far]), "from afar\n");
    person.says(&["rmi", "-f", "a", "b", "c", &far]);
    person.says(&["system", "prune"]);
    let blobs = person.path().join("store/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).expect("a folder").count(), 5);
}
