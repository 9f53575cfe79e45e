//! Points at which a test has this process die, as by a kill -9 just there: `ACKLINE_CRASH_AT` names a step of a move,
//! or by its number (`statement 7`) one of the statements by which a move changes servers. A release build has none.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    static MOVING: AtomicBool = AtomicBool::new(false);
    static STATEMENTS: AtomicU32 = AtomicU32::new(0);

    fn at(point: &str) {
        let wanted = WANTED.get_or_init(|| std::env::var("ACKLINE_CRASH_AT").ok());
        if wanted.as_deref() == Some(point) {
            // Nothing is flushed, and nobody is told.
            std::process::abort();
        }
    }

    pub fn step(name: &str) {
        MOVING.store(true, Ordering::Relaxed);
        at(name);
    }

    pub fn statement() {
        if MOVING.load(Ordering::Relaxed) {
            let number = STATEMENTS.fetch_add(1, Ordering::Relaxed) + 1;
            at(&format!("statement {number}"));
        }
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    pub fn step(_name: &str) {}
    pub fn statement() {}
}

/// A statement that changes something is about to be sent to a server.
pub use armed::statement;
/// The next step of a move, or of bringing a server home, begins.
pub use armed::step;
