//! `pywasm policy`: what an app may do, and what it asked for in vain.

use crate::denials::{Entry, Log};
use crate::environment::Environment;
use crate::printer;
use pywasm::policy::OutboundRule;
use std::process::ExitCode;

/// The smallest set of flags that the last run's denials ask for.
pub fn suggest(environment: &Environment) -> anyhow::Result<ExitCode> {
    let Some(entries) = Log::last(&environment.runs()?)? else {
        printer::note("nothing was run yet");
        return Ok(ExitCode::SUCCESS);
    };
    if entries.is_empty() {
        printer::note("nothing was denied in the last run");
    }
    for (flag, entries) in smallest(&entries) {
        printer::result(&flag);
        for entry in entries {
            printer::note(&format!("  {} ({})", entry.resource, entry.rule));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Each flag with the denials that it grants.
fn smallest(entries: &[Entry]) -> Vec<(String, Vec<&Entry>)> {
    let mut flags: Vec<(String, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        let covered = |other: &str| other == entry.flag || covers(other, &entry.flag);
        match flags.iter_mut().find(|(flag, _)| covered(flag)) {
            Some((_, granted)) => granted.push(entry),
            None => {
                // A wider one takes over what narrower ones before it grant.
                let mut granted = vec![entry];
                flags.retain_mut(|(flag, others)| {
                    let narrower = covers(&entry.flag, flag);
                    if narrower {
                        granted.append(others);
                    }
                    !narrower
                });
                flags.push((entry.flag.clone(), granted));
            }
        }
    }
    flags
}

/// Does one `--allow-net` allow all that another one does?
fn covers(flag: &str, other: &str) -> bool {
    let rule =
        |flag: &str| -> Option<OutboundRule> { flag.strip_prefix("--allow-net ")?.parse().ok() };
    match (rule(flag), rule(other)) {
        (Some(flag), Some(other)) => flag.covers(&other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_is_suggested_that_another_one_covers() {
        let entry = |flag: &str| Entry {
            time: 0,
            resource: String::new(),
            rule: String::new(),
            flag: flag.to_owned(),
        };
        let entries = [
            "--allow-net a.example:443",
            "--disk",
            "--allow-net a.example",
            "--allow-net 192.0.2.1:1",
            "--allow-net a.example:80",
            "--disk",
        ]
        .map(entry);
        let found: Vec<_> = smallest(&entries)
            .into_iter()
            .map(|(flag, granted)| (flag, granted.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("--disk".to_owned(), 2),
                ("--allow-net a.example".to_owned(), 3),
                ("--allow-net 192.0.2.1:1".to_owned(), 1),
            ]
        );
    }
}
