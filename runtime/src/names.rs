//! Names of the functions in an interpreter's code, for what is told of a crash.
//!
//! They stay where they came with the package. Native code that has them is loaded at every start with all of them, tens of
//! thousands: a millisecond.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};
use wasmtime::FrameInfo;

const SECTION: &str = "name";
/// As long, and of no meaning to a compiler.
const HIDDEN: &[u8; SECTION.len()] = b"hide";

/// Takes the names of functions out of a compiler's sight.
pub(crate) fn hide(component: &mut [u8]) {
    let sections = Parser::new(0).parse_all(component);
    // What cannot be read is for the compiler to refuse.
    let found = sections.filter_map(|payload| match payload {
        Ok(Payload::CustomSection(section)) if section.name() == SECTION => {
            Some(section.data_offset())
        }
        _ => None,
    });
    for end in found.collect::<Vec<_>>() {
        component[end - SECTION.len()..end].copy_from_slice(HIDDEN);
    }
}

/// Those of a component, read once, however often a guest has its processes crash.
#[derive(Debug)]
pub(crate) struct Names {
    /// Opened before there is a crash: a confined process opens none.
    component: Option<File>,
    known: OnceLock<Known>,
}

impl Names {
    /// Of the component in a file.
    pub(crate) fn of(component: &Path) -> Self {
        Self {
            component: File::open(component).ok(),
            known: OnceLock::new(),
        }
    }

    /// The name of the function that a frame is of.
    pub(crate) fn name(&self, frame: &FrameInfo) -> Option<&str> {
        self.known
            .get_or_init(|| self.read().unwrap_or_default())
            .name(frame)
    }

    fn read(&self) -> Option<Known> {
        let file = self.component.as_ref()?;
        let mut bytes = vec![0; usize::try_from(file.metadata().ok()?.len()).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Some(Known::of(&bytes))
    }
}

/// Names of functions by their index, for each module by how many functions of its own it has: native code has nothing else
/// that tells modules apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known(HashMap<usize, HashMap<u32, String>>);

impl Known {
    fn of(component: &[u8]) -> Self {
        let mut known = Self::default();
        let mut functions = 0;
        for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
            match payload {
                Payload::FunctionSection(section) => functions = section.count() as usize,
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        known.0.insert(functions, of_functions(names).collect());
                    }
                }
                _ => {}
            }
        }
        known
    }

    fn name(&self, frame: &FrameInfo) -> Option<&str> {
        let names = self.0.get(&frame.module().functions().len())?;
        names.get(&frame.func_index()).map(String::as_str)
    }
}

fn of_functions(names: NameSectionReader<'_>) -> impl Iterator<Item = (u32, String)> {
    names
        .map_while(Result::ok)
        .filter_map(|part| match part {
            Name::Function(names) => Some(names),
            _ => None,
        })
        .flat_map(|names| names.into_iter().map_while(Result::ok))
        .map(|naming| (naming.index, naming.name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0\
        \x01\x04\x01\x60\0\0\
        \x03\x02\x01\0\
        \x0a\x04\x01\x02\0\x0b\
        \0\x0e\x04name\x01\x07\x01\0\x04main";

    #[test]
    fn hidden_names_are_found_in_what_they_were_hidden_from_only() {
        let names = HashMap::from([(0, "main".to_owned())]);
        assert_eq!(Known::of(MODULE), Known([(1, names)].into()));
        let mut hidden = MODULE.to_vec();
        hide(&mut hidden);
        assert_eq!(hidden.len(), MODULE.len());
        assert_eq!(Known::of(&hidden), Known::default());
        let read = |bytes| {
            Parser::new(0)
                .parse_all(bytes)
                .filter(Result::is_ok)
                .count()
        };
        assert_eq!(read(&hidden), read(MODULE));
    }

    #[test]
    fn what_is_no_component_is_left_as_it_is() {
        let mut bytes = *b"\0asm\x01\0\0\0\0\xffname";
        hide(&mut bytes);
        assert_eq!(&bytes, b"\0asm\x01\0\0\0\0\xffname");
        assert_eq!(Known::of(&bytes), Known::default());
    }
}
