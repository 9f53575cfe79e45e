//! What can be wrong with packets.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

const HEADER: usize = 4;

/// One to three faults in a piece of a conversation.
pub fn mutate(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..=3) {
        fault(&mut bytes, random);
    }
    bytes
}

fn fault(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    let packet = packet_at(bytes, random);
    match random.random_range(0..12) {
        0 => bytes[at] ^= 1 << random.random_range(0..8),
        1 => bytes[at] = random.random(),
        // Values that mean something in length-encoded numbers and at the beginning of packets.
        2 => {
            let telling = [0x00, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, 0x01, 0x7F, 0x80];
            bytes[at] = telling[random.random_range(0..telling.len())];
        }
        3 => bytes.truncate(at),
        4 => {
            bytes.drain(..at);
        }
        5 => {
            let end = (at + random.random_range(1..=64)).min(bytes.len());
            bytes.drain(at..end);
        }
        6 => {
            let more: Vec<u8> = (0..random.random_range(1..=64))
                .map(|_| random.random())
                .collect();
            bytes.splice(at..at, more);
        }
        7 => {
            let end = (at + random.random_range(1..=200)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        // The header's length: off by a little, none, and more than will ever come.
        8 => set_length(
            bytes,
            packet,
            |length, random| match random.random_range(0..4) {
                0 => length.wrapping_add(random.random_range(1..9)),
                1 => length.wrapping_sub(random.random_range(1..9)),
                2 => 0,
                _ => 0xFF_FFFF,
            },
            random,
        ),
        9 => {
            if let Some(sequence) = bytes.get_mut(packet + 3) {
                *sequence = random.random();
            }
        }
        // The first byte says what a packet is.
        10 => {
            if let Some(first) = bytes.get_mut(packet + HEADER) {
                *first = random.random();
            }
        }
        _ => {
            let other = random.random_range(0..bytes.len());
            bytes.swap(at, other);
        }
    }
}

/// Where one of its packets begins.
fn packet_at(bytes: &[u8], random: &mut ChaCha8Rng) -> usize {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + HEADER <= bytes.len() {
        starts.push(at);
        let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        at += HEADER + length as usize;
    }
    match starts.len() {
        0 => 0,
        count => starts[random.random_range(0..count)],
    }
}

fn set_length(
    bytes: &mut [u8],
    packet: usize,
    change: impl FnOnce(u32, &mut ChaCha8Rng) -> u32,
    random: &mut ChaCha8Rng,
) {
    if let Some(field) = bytes.get_mut(packet..packet + 3) {
        let length = u32::from_le_bytes([field[0], field[1], field[2], 0]);
        let length = change(length, random).to_le_bytes();
        field.copy_from_slice(&length[..3]);
    }
}
