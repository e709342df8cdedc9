//! The library as a host uses it.

use crate::support::cache;
use pywasm::policy::{Limits, Policy};
use pywasm::{
    App, Cache, Command, EventSink, Exit, GuestPath, Interruption, Limit, Runtime, Stdio,
};
use std::time::Duration;

fn interpreter() -> App {
    let cache = Cache::open(&cache()).expect("a private cache");
    let runtime = Runtime::new(cache, Interruption::Checked, |_| {}).expect("an engine");
    runtime.interpreter().expect("the interpreter")
}

fn run(app: &App, code: &str, policy: &Policy) -> (Exit, String) {
    let (stdio, output) = Stdio::captured("input", 1 << 20);
    let command = Command::python(["-c", code], GuestPath::root());
    let exit = app
        .start(command, policy, stdio, EventSink::silent())
        .expect("it starts")
        .wait_blocking();
    (exit, output.stdout())
}

#[test]
fn an_instance_reports_its_end_as_data() {
    let app = interpreter();
    let none = Policy::none();
    assert_eq!(
        run(&app, "print(input())", &none),
        (Exit::Code(0), "input\n".to_owned())
    );
    assert_eq!(run(&app, "raise SystemExit(9)", &none).0, Exit::Code(9));

    let limits = Limits {
        wall: Some(Duration::from_millis(500)),
        ..Limits::default()
    };
    let timed = Policy::none().limits(limits);
    for code in [
        "while True: pass",
        "import time; time.sleep(99)",
        "7**10**8 % 3",
    ] {
        assert_eq!(
            run(&app, code, &timed).0,
            Exit::Limit(Limit::Wall),
            "{code}"
        );
    }

    // Many at once, each for itself, one of them stopped.
    let endless = Command::python(["-c", "while True: pass"], GuestPath::root());
    let instance = app
        .start(endless, &none, Stdio::none(), EventSink::silent())
        .expect("it starts");
    let others: Vec<_> = (0..4)
        .map(|number| {
            let app = app.clone();
            std::thread::spawn(move || {
                run(&app, &format!("print({number} * 2)"), &Policy::none()).1
            })
        })
        .collect();
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().expect("no panic"), format!("{}\n", number * 2));
    }
    instance.stopper().stop();
    assert_eq!(instance.wait_blocking(), Exit::Stopped);
}
