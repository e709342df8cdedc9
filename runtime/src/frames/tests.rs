use super::lines::tests::entry;
use super::*;
use proptest::prelude::*;

/// A memory with an interpreter of one thread in it, whose only frame is that of `f` in `a.py`.
struct Image(Vec<u8>);

/// Addresses: each structure has the page to itself.
const RUNTIME: u32 = 0x100;
const INTERPRETER: u32 = 0x1000;
const THREAD: u32 = 0x2000;
const FRAME: u32 = 0x3000;
const CODE: u32 = 0x4000;
const KIND: u32 = 0x5000;
const NAME: u32 = 0x5100;
const FILE: u32 = 0x6000;
const FUNCTION: u32 = 0x6800;
const TABLE: u32 = 0x7000;

impl Image {
    fn new() -> Self {
        let mut image = Self(vec![0; 0x8000]);
        image.write(RUNTIME, COOKIE);
        image.write(RUNTIME + 8, &0x030e_07f0_u64.to_le_bytes());
        let offsets = [
            (5, 0x400),
            (9, 8),
            (19, 12),
            (24, 4),
            (26, 16),
            (32, 4),
            (33, 0),
            (34, 8),
            (36, 20),
            (40, 8),
            (42, 12),
            (43, 16),
            (44, 20),
            (48, 32),
            (51, 4),
            (53, 12),
            (75, 8),
            (76, 16),
            (78, 8),
            (79, 4),
            (80, 16),
        ];
        for (entry, offset) in offsets {
            image.write(RUNTIME + entry * 8, &u64::to_le_bytes(offset));
        }
        for (at, pointer) in [
            (RUNTIME + 0x400, INTERPRETER),
            (INTERPRETER + 8, THREAD),
            (INTERPRETER + 12, THREAD),
            (THREAD + 16, FRAME),
            // As a reference on Python's stack.
            (FRAME, CODE | 1),
            (FRAME + 8, CODE + 32 + 4),
            (CODE + 4, KIND),
            (CODE + 8, FILE),
            (CODE + 12, FUNCTION),
            (CODE + 16, TABLE),
            (CODE + 20, 7),
            (KIND + 12, NAME),
        ] {
            image.pointer(at, pointer);
        }
        image.write(NAME, b"code\0");
        image.text(FILE, "a.py");
        image.text(FUNCTION, "f");
        // Two instructions of line 7, then one of line 8.
        let lines = [entry(0b1010, 2), 0, 0, entry(0b1011, 1), 0, 0];
        image.pointer(TABLE + 8, 6);
        image.write(TABLE + 16, &lines);
        image
    }

    fn write(&mut self, at: u32, bytes: &[u8]) {
        let at = at as usize;
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn pointer(&mut self, at: u32, to: u32) {
        self.write(at, &to.to_le_bytes());
    }

    fn text(&mut self, at: u32, text: &str) {
        self.pointer(at + 4, u32::try_from(text.len()).expect("short"));
        // One byte for each character, compact, ASCII.
        self.pointer(at + 8, 1 << 2 | 1 << 5 | 1 << 6);
        self.write(at + 16, text.as_bytes());
    }

    fn threads(&self) -> Vec<Vec<Frame>> {
        Interpreter::find(&self.0).map_or_else(Vec::new, |found| found.threads(&self.0))
    }
}

fn frame(function: &str, line: u32) -> Frame {
    Frame {
        file: "a.py".to_owned(),
        function: function.to_owned(),
        line,
    }
}

#[test]
fn a_frame_has_its_file_function_and_line() {
    let image = Image::new();
    assert_eq!(image.threads(), [[frame("f", 8)]]);
    let found = Interpreter::find(&image.0).expect("an interpreter");
    assert_eq!(found.running(&image.0), [frame("f", 8)]);
}

#[test]
fn other_versions_are_not_looked_at() {
    let mut image = Image::new();
    image.write(RUNTIME + 8, &0x030f_00f0_u64.to_le_bytes());
    assert_eq!(Interpreter::find(&image.0), None);
    assert_eq!(Interpreter::find(b""), None);
}

#[test]
fn wide_characters_and_control_characters() {
    let mut image = Image::new();
    image.pointer(FUNCTION + 4, 2);
    // Two bytes each, compact, not ASCII.
    image.pointer(FUNCTION + 8, 2 << 2 | 1 << 5);
    image.write(FUNCTION + 24, &[0x1b, 0, 0xb1, 0x03]);
    assert_eq!(image.threads(), [[frame("\u{fffd}α", 8)]]);
}

#[test]
fn chains_that_never_end_are_cut() {
    let mut image = Image::new();
    image.pointer(FRAME + 4, FRAME);
    image.pointer(THREAD + 4, THREAD);
    let threads = image.threads();
    assert_eq!(threads.len(), 1, "the thread that runs is shown once");
    assert_eq!(threads[0].len(), DEPTH);
    image.pointer(INTERPRETER + 12, 0);
    assert_eq!(image.threads().len(), THREADS);
}

#[test]
fn tables_of_lines_are_read_up_to_a_size_together() {
    let mut image = Image::new();
    image.0.resize(0x8000 + LINES as usize, 0);
    // The same frame again and again, each time with a table that goes on for more than half of what may be read.
    image.pointer(FRAME + 4, FRAME);
    image.pointer(TABLE + 8, LINES / 2 + 1);
    let lines: Vec<u32> = image.threads()[0].iter().map(|frame| frame.line).collect();
    assert_eq!((lines[0], lines[1]), (8, 0));
}

proptest! {
    /// A guest writes what it likes: nothing of it is more than a name.
    #[test]
    fn whatever_is_written_over_it_is_read_without_harm(
        changes in proptest::collection::vec((0_u32..0x7ff0, any::<u64>()), 1..40),
        pointers in proptest::collection::vec((0_usize..12, any::<u32>()), 0..4),
    ) {
        let mut image = Image::new();
        for (at, value) in changes {
            // The cookie and the version stay.
            if !(RUNTIME - 8..RUNTIME + 16).contains(&at) {
                image.write(at, &value.to_le_bytes());
            }
        }
        let places = [RUNTIME + 40, RUNTIME + 0x400, THREAD + 16, FRAME, FRAME + 4, FRAME + 8, CODE + 4, CODE + 8, CODE + 16, TABLE + 8,
            FILE + 4, KIND + 12];
        for (place, to) in pointers {
            image.pointer(places[place], to);
        }
        for frame in image.threads().concat() {
            prop_assert!(frame.file.chars().count() <= TEXT as usize);
        }
    }
}
