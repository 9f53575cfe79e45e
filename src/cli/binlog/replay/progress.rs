//! Waits for a replay to end, and says how far it is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::plan::Plan;
use super::target::Target;
use crate::topology::report::Thread;

const POLL: Duration = Duration::from_millis(500);
/// A line this often where nobody looks at a terminal.
const LINE: Duration = Duration::from_secs(10);
/// A server that cannot reach us retries for ever; we do not.
const UNREACHED: Duration = Duration::from_secs(15);

/// What is to be said at the end.
pub(super) async fn watch(target: &mut Target, plan: &Plan) -> anyhow::Result<String> {
    let started = Instant::now();
    let mut line = Line::new();
    let (mut least, mut moved) = (plan.total(), Instant::now());
    loop {
        let threads = target.threads().await?;
        let left = plan.left(&threads.has);
        if left < least {
            (least, moved) = (left, Instant::now());
        }
        let done = plan.total() - left;
        let seconds = started.elapsed().as_secs_f64();
        if left == 0 {
            line.end();
            return Ok(format!(
                "replayed {done} transactions in {seconds:.1} s ({:.0}/s); it stands at '{}'",
                done as f64 / seconds.max(0.001),
                threads.has
            ));
        }
        if let Some(error) = threads.channel.sql_error {
            line.end();
            bail!(
                "stopped after {done} of {} transactions, at '{}': {error}; once that is repaired, the same command goes on",
                plan.total(),
                threads.has
            );
        }
        if threads.channel.sql == Thread::Stopped && moved.elapsed() > UNREACHED {
            line.end();
            return Err(anyhow!(
                "its applier stopped at '{}' without an error, {left} transactions too early",
                threads.has
            ));
        }
        if let Some(error) = threads.channel.io_error
            && moved.elapsed() > UNREACHED
        {
            line.end();
            bail!(
                "it cannot pull from our replication port (--through names another address): {error}"
            );
        }
        line.show(done, plan.total(), seconds);
        tokio::time::sleep(POLL).await;
    }
}

/// One line that is written over, or one now and then.
struct Line {
    terminal: bool,
    said: Option<Instant>,
}

impl Line {
    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            said: None,
        }
    }

    fn show(&mut self, done: u64, total: u64, seconds: f64) {
        let rate = done as f64 / seconds.max(0.001);
        let left = match done {
            0 => String::new(),
            _ => format!(", {:.0} s left", (total - done) as f64 / rate),
        };
        let percent = done * 100 / total.max(1);
        let text = format!("{done} of {total} transactions ({percent} %), {rate:.0}/s{left}");
        if self.terminal {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
        } else if self.said.is_none_or(|said| said.elapsed() >= LINE) {
            eprintln!("{text}");
        } else {
            return;
        }
        self.said = Some(Instant::now());
    }

    fn end(&self) {
        if self.terminal && self.said.is_some() {
            eprintln!();
        }
    }
}
