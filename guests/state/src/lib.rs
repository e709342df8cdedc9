//! The memory of an interpreter as a WebAssembly module that holds data only.
//!
//! The interpreter's component has code and no memory: it imports a *state*, a core module that exports one
//! memory and runs nothing. The state of a fresh interpreter holds the initial data of its program; that of a
//! snapshot, everything the interpreter had in memory when it was taken. So the code is compiled once per
//! machine, whatever is started from it, and a snapshot can do nothing that its interpreter could not.

use wasm_encoder::{
    ConstExpr, DataSection, ExportKind, ExportSection, MemorySection, MemoryType, Module,
};

/// The name under which an interpreter imports its state.
pub const IMPORT: &str = "state";

/// The name under which a state exports its memory.
pub const MEMORY: &str = "memory";

/// Bytes of a page of WebAssembly memory.
pub const WASM_PAGE: usize = 65536;

/// Zeros are left out in units of this many bytes: few enough pieces for any engine's limits, even of a
/// memory full of holes.
const BLOCK: usize = 4096;

/// What the memory of a state looks like to its importer: at least so many pages, with no upper limit.
pub fn memory_type(pages: u64) -> MemoryType {
    MemoryType {
        minimum: pages,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

/// The state module whose memory begins as `memory`, which is filled up with zeros to a whole page.
///
/// The same memory gives the same bytes.
pub fn encode(memory: &[u8]) -> Vec<u8> {
    let mut memories = MemorySection::new();
    memories.memory(memory_type(memory.len().div_ceil(WASM_PAGE) as u64));
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    let mut data = DataSection::new();
    for (offset, bytes) in pieces(memory) {
        // Offsets are unsigned; the encoder takes the bits as a signed number.
        data.active(
            0,
            &ConstExpr::i32_const(offset as u32 as i32),
            bytes.iter().copied(),
        );
    }
    let mut module = Module::new();
    module.section(&memories).section(&exports).section(&data);
    module.finish()
}

/// The parts of `memory` between blocks of zeros, with their offsets.
fn pieces(memory: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let mut start = None;
    for (index, block) in memory.chunks(BLOCK).enumerate() {
        let offset = index * BLOCK;
        let empty = block.iter().all(|byte| *byte == 0);
        match start {
            None if !empty => start = Some(offset),
            Some(from) if empty => {
                pieces.push((from, &memory[from..offset]));
                start = None;
            }
            _ => {}
        }
    }
    pieces.extend(start.map(|from| (from, &memory[from..])));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_are_left_out() {
        let mut memory = vec![0; 5 * BLOCK + 3];
        memory[BLOCK] = 1;
        memory[2 * BLOCK + 7] = 2;
        memory[5 * BLOCK + 2] = 3;
        let found = pieces(&memory);
        let places: Vec<_> = found.iter().map(|(at, bytes)| (*at, bytes.len())).collect();
        assert_eq!(places, [(BLOCK, 2 * BLOCK), (5 * BLOCK, 3)]);
        assert!(pieces(&[0; 100]).is_empty());
    }
}
