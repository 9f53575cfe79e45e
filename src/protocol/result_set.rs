//! Small text results, written as a server without `DEPRECATE_EOF` sends them.
//!
//! The replication port answers a replica's questions with these.

use super::fields::put_lenenc;
use super::fields::put_lenenc_bytes;
use super::ok::EofPacket;
use super::packet;

const TYPE_VAR_STRING: u8 = 0xFD;
/// utf8mb3_general_ci, which every client knows.
const COLLATION: u16 = 33;

/// Appends a whole result: header, columns, EOF, rows, EOF; `None` is NULL. `sequence` is the number
/// of the first packet (1 after a command) and is moved on.
pub fn write(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    status: u16,
    columns: &[&str],
    rows: &[Vec<Option<Vec<u8>>>],
) {
    let mut payload = Vec::new();
    put_lenenc(&mut payload, columns.len() as u64);
    packet::write(out, sequence, &payload);
    for name in columns {
        payload.clear();
        write_column(&mut payload, name);
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

fn write_column(out: &mut Vec<u8>, name: &str) {
    put_lenenc_bytes(out, b"def");
    for text in ["", "", "", name, ""] {
        put_lenenc_bytes(out, text.as_bytes());
    }
    out.push(0x0C);
    out.extend_from_slice(&COLLATION.to_le_bytes());
    out.extend_from_slice(&1024u32.to_le_bytes());
    out.push(TYPE_VAR_STRING);
    out.extend_from_slice(&[0; 5]);
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
            &["a"],
            &[vec![Some(b"x".to_vec())], vec![None]],
        );
        let golden: &[u8] = b"\x01\0\0\x01\x01\
            \x17\0\0\x02\x03def\0\0\0\x01a\0\x0c\x21\0\0\x04\0\0\xfd\0\0\0\0\0\
            \x05\0\0\x03\xfe\0\0\x02\0\
            \x02\0\0\x04\x01x\
            \x01\0\0\x05\xfb\
            \x05\0\0\x06\xfe\0\0\x02\0";
        assert_eq!(out, golden);
        assert_eq!(sequence, 7);
    }
}
