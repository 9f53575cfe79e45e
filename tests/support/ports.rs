//! Free ports, kept from other tests of this process and of those beside it.

use std::net::{Ipv4Addr, TcpListener};

use parking_lot::Mutex;

/// Below the ports that the kernel hands out.
const FIRST: u16 = 21_200;
const LAST: u16 = 22_400;
const BLOCK: u16 = 20;

/// A block of them, from `base` on, as a sandbox takes them.
pub struct Ports {
    pub base: u16,
    /// The last port of the block is ours: others who look for a block go on.
    _taken: TcpListener,
}

impl Ports {
    pub fn take() -> Self {
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        (FIRST..LAST)
            .step_by(BLOCK.into())
            .find_map(|base| {
                let taken = free(base + BLOCK - 1)?;
                (base..base + BLOCK - 1)
                    .all(|port| free(port).is_some())
                    .then_some(Self {
                        base,
                        _taken: taken,
                    })
            })
            .expect("a block of free ports")
    }
}

/// A port of a block that this process keeps to its end; each is handed out once.
pub fn free_port() -> u16 {
    static BLOCKS: Mutex<(Vec<Ports>, u16)> = Mutex::new((Vec::new(), BLOCK));
    let (blocks, next) = &mut *BLOCKS.lock();
    if *next + 1 >= BLOCK {
        blocks.push(Ports::take());
        *next = 0;
    }
    *next += 1;
    blocks.last().expect("one was just taken").base + *next - 1
}
