//! `pywasm check`: what of a project runs here, without packing it.

use super::pack::{Shown, base, dockerfile_use, settings, starts, tell_lines};
use crate::args::{CheckArgs, ReportFormat};
use crate::environment::Environment;
use crate::printer;
use pywasm_packager::{CheckReport, CheckedPackage, PackSettings, Project, Status};
use std::process::ExitCode;

/// Something cannot run: the answer to the question, not a failure of the command.
const NOT_PACKABLE: u8 = 1;

pub fn check(args: CheckArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let CheckArgs {
        project,
        requirements,
        format,
        dockerfile,
        index,
    } = args;
    let project = match requirements.is_empty() {
        true => Project::open(&project)?,
        false => Project::requirements_only(&[], &requirements),
    };
    let settings = PackSettings {
        dockerfile: dockerfile_use(dockerfile, environment),
        ..settings(&index, environment)?
    };
    let progress = Shown::new(false);
    let report = project.check(&settings, &base()?, &starts, &progress)?;
    progress.done();
    match format {
        ReportFormat::Json => printer::result(&serde_json::to_string_pretty(&report)?),
        ReportFormat::Text => {
            tell_lines(&report.notes);
            printer::result(text(&report).trim_end());
        }
    }
    Ok(match report.packable {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NOT_PACKABLE),
    })
}

fn text(report: &CheckReport) -> String {
    let mut text = String::new();
    for (status, title) in [
        (Status::CannotRun, "cannot run"),
        (Status::NeedsBuild, "is built from source when packed"),
        (
            Status::RunsWithoutNativeParts,
            "runs without its optional native parts",
        ),
        (Status::BuiltIn, "runs, built in"),
        (Status::Runs, "runs"),
    ] {
        let of_status = report
            .packages
            .iter()
            .filter(|package| package.status == status);
        let lines: Vec<String> = of_status.map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n{}", lines.concat()));
        }
    }
    if let Some(reason) = &report.cannot_start {
        text.push_str(&format!("{reason}\n"));
    }
    match (report.packable, report.packages.is_empty()) {
        (true, true) => text.push_str("nothing is required: it can be packed"),
        (true, false) => text.push_str("everything runs: it can be packed"),
        (false, _) => text.push_str("it cannot be packed as it is"),
    }
    text
}

fn line(package: &CheckedPackage) -> String {
    let CheckedPackage {
        name,
        version,
        path,
        reason,
        instead,
        runnable_version,
        status: _,
    } = package;
    let mut line = format!("  {name} {version}");
    if path.len() > 1 {
        line.push_str(&format!("  ({})", path.join(" -> ")));
    }
    line.push('\n');
    let older = runnable_version
        .as_ref()
        .map(|other| format!("version {other} could run: write {name}=={other}"));
    for more in [reason.clone(), instead.clone(), older]
        .into_iter()
        .flatten()
    {
        line.push_str(&format!("      {more}\n"));
    }
    line
}
