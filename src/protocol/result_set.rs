//! Small text results, written as a server without `DEPRECATE_EOF` sends them.
//!
//! The replication port answers a replica's questions with these.

use super::fields::put_lenenc;
use super::fields::put_lenenc_bytes;
use super::ok::EofPacket;
use super::packet;

const TYPE_VAR_STRING: u8 = 0xFD;
const TYPE_LONGLONG: u8 = 0x08;
/// utf8mb3_general_ci, which every client knows.
const COLLATION: u16 = 33;
const BINARY: u16 = 63;
/// NOT NULL, UNSIGNED, BINARY.
const NUMBER: u16 = 0x00A1;

/// A column by its name. Many clients make of a value what the column's type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Text(&'static str),
    /// BIGINT UNSIGNED.
    Number(&'static str),
}

/// Appends a whole result: header, columns, EOF, rows, EOF; `None` is NULL. `sequence` is the number
/// of the first packet (1 after a command) and is moved on.
pub fn write(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    status: u16,
    columns: &[Column],
    rows: &[Vec<Option<Vec<u8>>>],
) {
    let mut payload = Vec::new();
    put_lenenc(&mut payload, columns.len() as u64);
    packet::write(out, sequence, &payload);
    for column in columns {
        payload.clear();
        write_column(&mut payload, *column);
        packet::write(out, sequence, &payload);
    }
    let eof = EofPacket {
        warnings: 0,
        status,
    }
    .to_bytes();
    packet::write(out, sequence, &eof);
    for row in rows {
        payload.clear();
        for value in row {
            match value {
                Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
                None => payload.push(0xFB),
            }
        }
        packet::write(out, sequence, &payload);
    }
    packet::write(out, sequence, &eof);
}

fn write_column(out: &mut Vec<u8>, column: Column) {
    let (name, collation, length, kind, flags) = match column {
        Column::Text(name) => (name, COLLATION, 1024u32, TYPE_VAR_STRING, 0u16),
        Column::Number(name) => (name, BINARY, 20, TYPE_LONGLONG, NUMBER),
    };
    put_lenenc_bytes(out, b"def");
    for text in ["", "", "", name, ""] {
        put_lenenc_bytes(out, text.as_bytes());
    }
    out.push(0x0C);
    out.extend_from_slice(&collation.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&flags.to_le_bytes());
    // Decimals, and two bytes that nobody reads.
    out.extend_from_slice(&[0; 3]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row() {
        let (mut out, mut sequence) = (Vec::new(), 1);
        write(
            &mut out,
            &mut sequence,
            2,
            &[Column::Text("a"), Column::Number("n")],
            &[
                vec![Some(b"x".to_vec()), Some(b"7".to_vec())],
                vec![None, None],
            ],
        );
        let golden: &[u8] = b"\x01\0\0\x01\x02\
            \x17\0\0\x02\x03def\0\0\0\x01a\0\x0c\x21\0\0\x04\0\0\xfd\0\0\0\0\0\
            \x17\0\0\x03\x03def\0\0\0\x01n\0\x0c\x3f\0\x14\0\0\0\x08\xa1\0\0\0\0\
            \x05\0\0\x04\xfe\0\0\x02\0\
            \x04\0\0\x05\x01x\x017\
            \x02\0\0\x06\xfb\xfb\
            \x05\0\0\x07\xfe\0\0\x02\0";
        assert_eq!(out, golden);
        assert_eq!(sequence, 8);
    }
}
