//! `--profile`: what Python code did, as a flame graph.

use crate::output::Output;
use crate::printer;
use anyhow::Context;
use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{Options, from_lines};
use pywasm::{Frame, Profile};
use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

/// The file for a flame graph.
pub struct FlameGraph {
    file: File,
    shown: String,
}

impl FlameGraph {
    pub fn create(output: &Output) -> anyhow::Result<Self> {
        Ok(Self {
            file: output.create()?,
            shown: output.shown().to_string(),
        })
    }

    /// Writes it, and says so.
    pub fn write(self, profile: &Profile) -> anyhow::Result<()> {
        let path = self.shown;
        let stacks = profile.stacks();
        let busy: Duration = stacks.iter().map(|(_, time)| time).sum();
        if busy.is_zero() {
            printer::note(&format!(
                "no profile: no Python code ran for as long as 5 ms, so `{path}` is empty"
            ));
            return Ok(());
        }
        let lines: Vec<String> = stacks.iter().map(folded).collect();
        let mut options = Options::default();
        options.title = "Python code in the sandbox".to_owned();
        options.count_name = "µs of processor time".to_owned();
        options.colors = Palette::Multi(MultiPalette::Python);
        let writer = BufWriter::new(self.file);
        from_lines(&mut options, lines.iter().map(String::as_str), writer)
            .with_context(|| format!("cannot write the profile to `{path}`"))?;
        let seconds = busy.as_secs_f64();
        printer::note(&format!(
            "profile of {seconds:.2} s of processor time: `{path}`"
        ));
        Ok(())
    }
}

/// A stack as `inferno` reads it: names between semicolons, and for how many microseconds.
fn folded((stack, time): &(Vec<Frame>, Duration)) -> String {
    let names: Vec<String> = stack.iter().map(name).collect();
    let count = time.as_micros();
    match names.is_empty() {
        true => format!("[other calls] {count}"),
        false => format!("{} {count}", names.join(";")),
    }
}

fn name(frame: &Frame) -> String {
    let Frame {
        file,
        function,
        line,
    } = frame;
    format!("{function} ({file}:{line})").replace(';', ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_one_line() {
        let frame = |function: &str, line| Frame {
            file: "/app/a.py".to_owned(),
            function: function.to_owned(),
            line,
        };
        let stack = vec![frame("<module>", 3), frame("A.f;g", 1)];
        assert_eq!(
            folded(&(stack, Duration::from_micros(7))),
            "<module> (/app/a.py:3);A.f,g (/app/a.py:1) 7"
        );
        assert_eq!(
            folded(&(Vec::new(), Duration::from_micros(2))),
            "[other calls] 2"
        );
    }
}
