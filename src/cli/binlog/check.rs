//! `ackline binlog check`: all that our files hold, byte for byte; a proxy may run or not.

use std::path::Path;
use std::time::{Duration, Instant};

use super::folder;
use crate::cli::Failure;
use crate::store;
use crate::units::show_size;

const TELL_EVERY: Duration = Duration::from_secs(2);

/// 0 where nothing is wrong.
pub(super) fn run(config: &Path) -> Result<(), Failure> {
    let dir = folder(config)?;
    let mut told = Instant::now();
    let checked = store::check(&dir, |done, all| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            eprintln!(
                "ackline: {} of {} MiB checked",
                done >> 20,
                all.div_ceil(1 << 20)
            );
        }
    })?;
    for note in &checked.notes {
        eprintln!("ackline: {note}");
    }
    println!(
        "{} transactions in {} files ({}) up to {}: nothing is wrong",
        checked.transactions,
        checked.files,
        show_size(checked.bytes),
        checked.end
    );
    Ok(())
}
