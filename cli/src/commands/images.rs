//! `pywasm images`, `rmi` and `tag`: the packages that are kept, by name.

use super::pack::bytes;
use crate::args::ReportFormat;
use crate::environment::Environment;
use crate::printer;
use crate::store_args::{ImagesArgs, RmiArgs, TagArgs};
use crate::units::ago;
use pywasm_store::StoreError;
use serde_json::json;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of a digest that people need to tell packages apart.
const SHORT: usize = 19;

pub fn images(args: ImagesArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let images = environment.store()?.images()?;
    if args.quiet {
        for image in &images {
            printer::result(&image.digest.to_string());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.format == ReportFormat::Json {
        let seconds = |time: SystemTime| {
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs())
        };
        let list: Vec<_> = images
            .iter()
            .map(|image| {
                json!({
                    "name": image.name.to_string(),
                    "digest": image.digest.to_string(),
                    "since": seconds(image.since),
                    "size": image.size,
                })
            })
            .collect();
        printer::result(&serde_json::to_string_pretty(&list)?);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = images.iter().map(|image| {
        [
            image.name.repository().to_owned(),
            image.name.tag().to_owned(),
            image.digest.to_string()[..SHORT].to_owned(),
            ago(image.since),
            bytes(image.size),
        ]
    });
    let head = ["REPOSITORY", "TAG", "DIGEST", "CREATED", "SIZE"].map(str::to_owned);
    printer::table(std::iter::once(head).chain(rows));
    Ok(ExitCode::SUCCESS)
}

pub fn rmi(args: RmiArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let store = environment.store()?;
    for reference in &args.references {
        match store.remove(reference) {
            Ok((names, freed)) => {
                for name in names {
                    printer::result(&format!("untagged {name}"));
                }
                if freed.blobs > 0 {
                    printer::result(&format!("freed {}", bytes(freed.bytes)));
                }
            }
            Err(StoreError::Unknown(_)) if args.force => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn tag(args: &TagArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    environment.store()?.tag(&args.source, &args.name)?;
    Ok(ExitCode::SUCCESS)
}
