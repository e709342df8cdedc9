//! Build tool of the guest recipe.
//!
//! ```text
//! componentize component CORE WIT-DIR WORLD OUTPUT   core module -> component
//! componentize split COMPONENT OUTPUT STATE          component -> component without memory, its state
//! componentize compress INPUT OUTPUT                 file -> zstd, level 19
//! ```

mod split;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["component", core, wit, world, output] => component(core, wit, world, output),
        ["split", component, output, state] => split(component, output, state),
        ["compress", input, output] => compress(input, output),
        _ => bail!("usage: componentize component CORE WIT-DIR WORLD OUTPUT | split COMPONENT OUTPUT STATE | compress INPUT OUTPUT"),
    }
}

fn component(core: &str, wit: &str, world: &str, output: &str) -> Result<()> {
    let mut module = read(core)?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("WIT in {wit}"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .with_context(|| format!("{core} does not fit its world"))?
        .encode()
        .with_context(|| format!("encoding {core} as a component"))?;
    write(output, &component)
}

fn split(component: &str, output: &str, state: &str) -> Result<()> {
    let (code, memory) = split::split(&read(component)?).with_context(|| format!("splitting {component}"))?;
    write(output, &code)?;
    write(state, &memory)
}

fn compress(input: &str, output: &str) -> Result<()> {
    write(output, &zstd::encode_all(read(input)?.as_slice(), 19)?)
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {path}"))
}

fn write(path: &str, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {path}"))
}
