//! A block of free ports, kept while its sandbox lives.

use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that the kernel hands out.
const FIRST: u16 = 21_500;
const LAST: u16 = 22_000;
const BLOCK: u16 = 20;

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
