//! Takes the memory out of a component, so that who instantiates it says what it begins with.

use anyhow::{Context, Result, bail, ensure};
use pywasm_state::{IMPORT, MEMORY, WASM_PAGE, memory_type};
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, RoundtripReencoder};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentSectionId, ComponentTypeRef, CoreTypeSection, EntityType, ImportSection,
    InstanceSection, Module, ModuleArg, ModuleType, RawSection,
};
use wasmparser::{DataKind, Operator, Parser, Payload, Validator, WasmFeatures};

/// The component without its memory, and the state with which it does what it did before.
pub fn split(component: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (code, memory) = split_program(program(component)?)?;
    let mut split = Component::new();
    let pages = memory.len().div_ceil(WASM_PAGE) as u64;
    StateImport { code: &code, pages, modules: 0, core_types: 0, done: false }
        .parse_component(&mut split, Parser::new(0), component)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let split = split.finish();
    Validator::new_with_features(WasmFeatures::all()).validate_all(&split).context("the split component is not valid")?;
    Ok((split, pywasm_state::encode(&memory)))
}

/// wit-component puts the program before the modules that it makes itself.
fn program(component: &[u8]) -> Result<&[u8]> {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::ModuleSection { unchecked_range, .. } = payload? {
            return Ok(&component[unchecked_range]);
        }
    }
    bail!("the component holds no module")
}

/// The module with its memory imported, and that memory as it is when the program starts.
fn split_program(module: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut memory = vec![0; usize::try_from(pages(module)?)? * WASM_PAGE];
    let mut code = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::ImportSection(imports) => {
                let mut section = ImportSection::new();
                RoundtripReencoder.parse_import_section(&mut section, imports.clone())?;
                section.import(IMPORT, MEMORY, EntityType::Memory(memory_type(pages(module)?)));
                code.section(&section);
                continue;
            }
            Payload::MemorySection(memories) => {
                ensure!(memories.count() == 1, "the program has several memories");
                continue;
            }
            Payload::DataCountSection { .. } => continue,
            Payload::DataSection(data) => {
                for segment in data.clone() {
                    let segment = segment?;
                    fill(&mut memory, &segment)?;
                }
                continue;
            }
            Payload::GlobalSection(globals) => {
                let mutable = globals.clone().into_iter().filter(|g| g.as_ref().is_ok_and(|g| g.ty.mutable)).count();
                // The stack pointer: while no export runs, it is where it was in the beginning.
                ensure!(mutable == 1, "the program keeps state in {mutable} globals");
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    ensure!(!keeps_state(&operator?), "the program keeps state outside of its memory");
                }
            }
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            code.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok((code.finish(), memory))
}

fn pages(module: &[u8]) -> Result<u64> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::MemorySection(memories) = payload? {
            for memory in memories {
                return Ok(memory?.initial);
            }
        }
    }
    bail!("the program has no memory of its own")
}

fn fill(memory: &mut [u8], segment: &wasmparser::Data<'_>) -> Result<()> {
    let DataKind::Active { offset_expr, .. } = &segment.kind else {
        bail!("the program has data that it copies itself");
    };
    let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
        bail!("the program has data without a fixed place");
    };
    let at = value as u32 as usize;
    let place = memory.get_mut(at..at + segment.data.len()).context("the program has data outside of its memory")?;
    place.copy_from_slice(segment.data);
    Ok(())
}

/// Would a memory alone not be all there is to save?
fn keeps_state(operator: &Operator<'_>) -> bool {
    use Operator::{DataDrop, ElemDrop, MemoryInit, TableCopy, TableFill, TableGrow, TableInit, TableSet};
    matches!(
        operator,
        DataDrop { .. } | ElemDrop { .. } | MemoryInit { .. } | TableCopy { .. } | TableFill { .. } | TableGrow { .. }
            | TableInit { .. } | TableSet { .. }
    )
}

/// Puts `code` in the place of the program, and before the first core instance the import of a state and its
/// instance, which so becomes core instance 0.
struct StateImport<'a> {
    code: &'a [u8],
    pages: u64,
    /// Seen so far.
    modules: u32,
    core_types: u32,
    done: bool,
}

impl StateImport<'_> {
    fn import(&mut self, component: &mut Component) {
        let mut state = ModuleType::new();
        state.export(MEMORY, EntityType::Memory(memory_type(self.pages)));
        let mut types = CoreTypeSection::new();
        types.ty().module(&state);
        let mut imports = ComponentImportSection::new();
        imports.import(IMPORT, ComponentTypeRef::Module(self.core_types));
        let mut instances = InstanceSection::new();
        instances.instantiate::<_, &str>(self.modules, []);
        component.section(&types).section(&imports).section(&instances);
        self.done = true;
    }
}

impl Reencode for StateImport<'_> {
    type Error = std::convert::Infallible;

    fn type_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(index + u32::from(self.done && index >= self.core_types))
    }
}

impl ReencodeComponent for StateImport<'_> {
    fn instance_index(&mut self, index: u32) -> u32 {
        index + 1
    }

    fn parse_component_payload(&mut self, to: &mut Component, payload: Payload<'_>, whole: &[u8]) -> Result<(), Error> {
        match &payload {
            Payload::InstanceSection(_) if !self.done => self.import(to),
            Payload::CoreTypeSection(types) if !self.done => self.core_types += types.count(),
            _ => {}
        }
        wasm_encoder::reencode::component_utils::parse_component_payload(self, to, payload, whole)
    }

    fn parse_component_submodule(&mut self, to: &mut Component, _: Parser, module: &[u8]) -> Result<(), Error> {
        let data = if self.modules == 0 { self.code } else { module };
        to.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data });
        self.modules += 1;
        Ok(())
    }

    fn parse_instance(&mut self, to: &mut InstanceSection, instance: wasmparser::Instance<'_>) -> Result<(), Error> {
        let wasmparser::Instance::Instantiate { module_index: 0, args } = instance else {
            return wasm_encoder::reencode::component_utils::parse_instance(self, to, instance);
        };
        let given = args.iter().map(|arg| (arg.name, ModuleArg::Instance(arg.index + 1)));
        to.instantiate(0, given.chain([(IMPORT, ModuleArg::Instance(0))]).collect::<Vec<_>>());
        Ok(())
    }
}
