//! Python's frames, read out of a guest's memory from outside.
//!
//! CPython says for debuggers in other processes where its structures hold what (`_Py_DebugOffsets`). A guest may have
//! written anything there, and may be stopped in the midst of a change: every read is checked against the memory, every
//! chain and every text has an end, and what makes no sense is left out.

mod lines;

use std::fmt;

/// Frames of one thread that are looked at, the innermost ones.
pub(crate) const DEPTH: usize = 256;
const THREADS: usize = 64;
/// Characters of a name or path.
const TEXT: u32 = 256;
/// Bytes of tables of lines that are read at a time, of all frames together: such a table is read from its beginning.
const LINES: u32 = 4 << 20;

/// One call of a Python function that has not returned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The file, as Python has it. At most 256 characters, without control characters, as are all names here.
    pub file: String,
    /// The function with the classes and functions around it.
    pub function: String,
    /// The line that runs, counted from 1; 0 where there is none.
    pub line: u32,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            function,
            line,
        } = self;
        write!(f, "File \"{file}\", line {line}, in {function}")
    }
}

/// Where an interpreter keeps its state in a guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    /// Address of `_PyRuntime`, which begins with the table.
    runtime: u32,
    interpreters_head: u32,
    threads_head: u32,
    gil_holder: u32,
    next_thread: u32,
    current_frame: u32,
    previous: u32,
    executable: u32,
    instruction: u32,
    owner: u32,
    code: Code,
    object_type: u32,
    type_name: u32,
    bytes_size: u32,
    bytes_value: u32,
    text_state: u32,
    text_length: u32,
    text_ascii: u32,
}

/// Where a code object holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Code {
    file: u32,
    qualname: u32,
    lines: u32,
    first_line: u32,
    instructions: u32,
}

const COOKIE: &[u8; 8] = b"xdebugpy";
/// The table's order, and what is read without it, hold for 3.14 whatever follows.
const VERSION: u32 = 0x030e;
/// The last entry of the table that is read.
const TEXT_ASCII: u32 = 80;

impl Interpreter {
    /// Looks for the table in a memory.
    pub(crate) fn find(memory: &[u8]) -> Option<Self> {
        let memory = Memory(memory);
        let words = memory.0.chunks_exact(8).enumerate();
        words
            .filter(|(_, word)| word == COOKIE)
            .find_map(|(number, _)| Self::at(memory, u32::try_from(number * 8).ok()?))
    }

    fn at(memory: Memory<'_>, runtime: u32) -> Option<Self> {
        let entry = |number: u32| {
            let value = memory.word(runtime.checked_add(number * 8)?)?;
            // No structure is as large as that.
            u32::try_from(value).ok().filter(|value| *value < 1 << 24)
        };
        let version = memory.word(runtime.checked_add(8)?)?;
        if version >> 16 != u64::from(VERSION) {
            return None;
        }
        Some(Self {
            runtime,
            interpreters_head: entry(5)?,
            threads_head: entry(9)?,
            gil_holder: entry(19)?,
            next_thread: entry(24)?,
            current_frame: entry(26)?,
            previous: entry(32)?,
            executable: entry(33)?,
            instruction: entry(34)?,
            owner: entry(36)?,
            code: Code {
                file: entry(40)?,
                qualname: entry(42)?,
                lines: entry(43)?,
                first_line: entry(44)?,
                instructions: entry(48)?,
            },
            object_type: entry(51)?,
            type_name: entry(53)?,
            bytes_size: entry(75)?,
            bytes_value: entry(76)?,
            text_state: entry(78)?,
            text_length: entry(79)?,
            text_ascii: entry(TEXT_ASCII)?,
        })
    }

    /// The frames of the thread that runs Python, the innermost first.
    pub(crate) fn running(&self, memory: &[u8]) -> Vec<Frame> {
        let memory = Memory(memory);
        let holder = self
            .head(memory)
            .and_then(|interpreter| memory.pointer(interpreter, self.gil_holder));
        let mut lines = LINES;
        holder.map_or_else(Vec::new, |thread| self.frames(memory, thread, &mut lines))
    }

    /// The frames of each thread that has some, the innermost first; the thread that runs is the first.
    pub(crate) fn threads(&self, memory: &[u8]) -> Vec<Vec<Frame>> {
        let memory = Memory(memory);
        let Some(interpreter) = self.head(memory) else {
            return Vec::new();
        };
        let holder = memory.pointer(interpreter, self.gil_holder);
        let first = memory.pointer(interpreter, self.threads_head);
        let all = std::iter::successors(first, |thread| memory.pointer(*thread, self.next_thread));
        let mut lines = LINES;
        let others = all.take(THREADS).filter(|thread| Some(*thread) != holder);
        holder
            .into_iter()
            .chain(others)
            .map(|thread| self.frames(memory, thread, &mut lines))
            .filter(|frames| !frames.is_empty())
            .collect()
    }

    fn head(&self, memory: Memory<'_>) -> Option<u32> {
        memory.pointer(self.runtime, self.interpreters_head)
    }

    fn frames(&self, memory: Memory<'_>, thread: u32, lines: &mut u32) -> Vec<Frame> {
        let innermost = memory.pointer(thread, self.current_frame);
        std::iter::successors(innermost, |frame| memory.pointer(*frame, self.previous))
            // Between two Python frames there are at most two of the interpreter's own.
            .take(3 * DEPTH)
            .filter_map(|frame| self.frame(memory, frame, lines))
            .take(DEPTH)
            .collect()
    }

    /// `None`: no call of Python code, or not at this moment.
    fn frame(&self, memory: Memory<'_>, frame: u32, lines: &mut u32) -> Option<Frame> {
        let owner = memory.byte(frame.checked_add(self.owner)?)?;
        if owner >= OWNED_BY_INTERPRETER {
            return None;
        }
        let code = memory.pointer(frame, self.executable)? & !TAG;
        let kind = memory.pointer(code, self.object_type)?;
        let name = memory.pointer(kind, self.type_name)?;
        if memory.bytes(name, 5)? != b"code\0" {
            return None;
        }
        let place = &self.code;
        Some(Frame {
            file: self.text(memory, memory.pointer(code, place.file)?)?,
            function: self.text(memory, memory.pointer(code, place.qualname)?)?,
            line: self.line(memory, frame, code, lines).unwrap_or(0),
        })
    }

    /// `lines`: how much of tables may still be read.
    fn line(&self, memory: Memory<'_>, frame: u32, code: u32, lines: &mut u32) -> Option<u32> {
        let instruction = memory.pointer(frame, self.instruction)?;
        let start = code.checked_add(self.code.instructions)?;
        let reached = instruction.checked_sub(start)? / 2;
        let table = memory.pointer(code, self.code.lines)?;
        let length = memory.half(table.checked_add(self.bytes_size)?)?;
        *lines = lines.checked_sub(length)?;
        let table = memory.bytes(table.checked_add(self.bytes_value)?, length)?;
        let first = memory.half(code.checked_add(self.code.first_line)?)?;
        lines::line_at(table, first, reached)
    }

    /// A `str`, whichever way it is kept.
    fn text(&self, memory: Memory<'_>, at: u32) -> Option<String> {
        let state = memory.half(at.checked_add(self.text_state)?)?;
        let length = memory.half(at.checked_add(self.text_length)?)?.min(TEXT);
        let (width, is_compact, is_ascii) =
            (state >> 2 & 7, state >> 5 & 1 == 1, state >> 6 & 1 == 1);
        if !is_compact {
            return None;
        }
        // Others also hold a length and a pointer to themselves in UTF-8.
        let header = self.text_ascii + if is_ascii { 0 } else { 8 };
        let bytes = memory.bytes(at.checked_add(header)?, length.checked_mul(width)?)?;
        let point = |unit: &[u8]| match *unit {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        let shown = |point| match char::from_u32(point) {
            Some(char) if !char.is_control() => char,
            _ => char::REPLACEMENT_CHARACTER,
        };
        match width {
            1 | 2 | 4 => Some(
                bytes
                    .chunks_exact(width as usize)
                    .map(point)
                    .map(shown)
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// A frame's owner from which on it is none of Python code.
const OWNED_BY_INTERPRETER: u8 = 3;
/// The bits of a reference on Python's stack that are not of the address.
const TAG: u32 = 3;

/// A guest's memory.
#[derive(Clone, Copy)]
struct Memory<'a>(&'a [u8]);

impl<'a> Memory<'a> {
    fn bytes(self, at: u32, length: u32) -> Option<&'a [u8]> {
        let at = usize::try_from(at).ok()?;
        self.0
            .get(at..at.checked_add(usize::try_from(length).ok()?)?)
    }

    fn byte(self, at: u32) -> Option<u8> {
        self.bytes(at, 1)?.first().copied()
    }

    fn half(self, at: u32) -> Option<u32> {
        self.bytes(at, 4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn word(self, at: u32) -> Option<u64> {
        self.bytes(at, 8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// The pointer at an offset from `at`; `None` is null.
    fn pointer(self, at: u32, offset: u32) -> Option<u32> {
        self.half(at.checked_add(offset)?)
            .filter(|pointer| *pointer != 0)
    }
}

#[cfg(test)]
mod tests;
