//! The table that says which instructions of a code object are of which line (PEP 626, as of Python 3.11).

/// The line of the instruction with this number. `None`: it has none, or the table ends before.
pub(super) fn line_at(table: &[u8], first_line: u32, instruction: u32) -> Option<u32> {
    let mut bytes = table.iter().copied();
    let (mut line, mut passed) = (i64::from(first_line), 0_u32);
    while let Some(head) = bytes.next() {
        let kind = head >> 3 & 15;
        let has_line = match kind {
            // Columns only, in one byte more.
            0..=9 => bytes.next().is_some(),
            // A line ahead of the last one by 0, 1 or 2, and two columns.
            10..=12 => {
                line += i64::from(kind - 10);
                bytes.nth(1).is_some()
            }
            13 => {
                line += signed(&mut bytes)?;
                true
            }
            14 => {
                line += signed(&mut bytes)?;
                for _end_line_and_columns in 0..3 {
                    unsigned(&mut bytes)?;
                }
                true
            }
            _ => false,
        };
        passed = passed.checked_add(u32::from(head & 7) + 1)?;
        if instruction < passed {
            return u32::try_from(line).ok().filter(|_| has_line);
        }
    }
    None
}

/// Six bits a byte, the lowest first; the seventh says that more follow.
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut value = 0;
    for shift in (0..36).step_by(6) {
        let byte = bytes.next()?;
        value |= i64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sign is in the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = unsigned(bytes)?;
    Some(match value & 1 {
        1 => -(value >> 1),
        _ => value >> 1,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The first byte of an entry of this kind, about so many instructions.
    pub(in super::super) const fn entry(kind: u8, instructions: u8) -> u8 {
        1 << 7 | kind << 3 | (instructions - 1)
    }

    /// `compile("a = 1\nb = 2\n\n\ndef f():\n  pass\n", "x", "exec").co_linetable` of CPython 3.13, and a table by hand.
    #[test]
    fn lines_of_instructions() {
        let table = [
            0xf0, 0x03, 0x01, 0x01, 0x01, 0xd8, 0x04, 0x05, 0x80, 0x01, 0xd8, 0x04, 0x05, 0x80,
            0x01, 0xf3, 0x06, 0x01, 0x01, 0x07,
        ];
        let lines: Vec<_> = (0..10).map(|number| line_at(&table, 1, number)).collect();
        let expected = [0, 1, 1, 2, 2, 5, 5, 5, 5].map(Some);
        assert_eq!(lines[..9], expected, "a module begins on line 0");
        assert_eq!(lines[9], None);
        let by_hand = [
            entry(0b1010, 2),
            0,
            0,                // two instructions, the same line
            entry(0b1111, 1), // one without a line
            entry(0b1101, 1),
            6, // one, 3 lines ahead
            entry(0b1101, 1),
            5, // one, 2 lines back
            entry(0b0000, 1),
            0, // one, the same line
        ];
        let lines: Vec<_> = (0..7).map(|number| line_at(&by_hand, 10, number)).collect();
        let expected = [Some(10), Some(10), None, Some(13), Some(11), Some(11), None];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_table_that_ends_early_has_no_line() {
        for table in [
            &[][..],
            &[0x80],
            &[0xf0, 0x43],
            &[0xe8, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f],
        ] {
            assert_eq!(line_at(table, 1, 5), None, "{table:?}");
        }
    }
}
