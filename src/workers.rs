//! Threads with an event loop each.
//!
//! A task stays on the thread that it was given to. So what meets at every commit (capture, shipping,
//! acknowledgements) shares one thread and wakes no other, and a session's packets are never handed
//! over between threads; on a busy machine such wake-ups cost more than the work itself.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, EnterGuard, Handle};

use crate::shutdown::Shutdown;

/// One thread; it ends after the drain.
#[derive(Clone, Debug)]
pub struct Worker {
    runtime: Handle,
    /// Tasks that were given to it and have not ended.
    load: Arc<AtomicUsize>,
}

impl Worker {
    pub fn start(name: &str, shutdown: &Shutdown) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let shutdown = shutdown.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || runtime.block_on(shutdown.drained()))?;
        Ok(Self {
            runtime: handle,
            load: Arc::default(),
        })
    }

    /// Sockets made while the guard lives are watched by this worker's loop.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Runs a task that the drain waits for.
    pub fn spawn(&self, shutdown: &Shutdown, task: impl Future<Output = ()> + Send + 'static) {
        let loaded = Loaded::on(&self.load);
        // An async block keeps what it awaits twice: as captured, and where it is polled.
        let task = Box::pin(task);
        shutdown.spawn_on(&self.runtime, async move {
            let _loaded = loaded;
            task.await;
        });
    }
}

/// Several workers that share what comes.
#[derive(Clone, Debug)]
pub struct Workers(Vec<Worker>);

impl Workers {
    /// One for each core.
    pub fn start(name: &str, shutdown: &Shutdown) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..cores).map(|number| Worker::start(&format!("{name}-{number}"), shutdown));
        Ok(Self(workers.collect::<io::Result<_>>()?))
    }

    /// The one with the fewest tasks.
    pub fn idlest(&self) -> Option<&Worker> {
        let load = |worker: &&Worker| worker.load.load(Ordering::Relaxed);
        self.0.iter().min_by_key(load)
    }
}

/// Counts as long as it lives, through panics too.
struct Loaded(Arc<AtomicUsize>);

impl Loaded {
    fn on(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(load.clone())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_idlest_gets_the_next_and_the_drain_waits_for_it() {
        let shutdown = Shutdown::new();
        let workers = Workers(vec![
            Worker::start("test-0", &shutdown).unwrap(),
            Worker::start("test-1", &shutdown).unwrap(),
        ]);
        let (done, mut names) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..4 {
            let (done, ending) = (done.clone(), shutdown.clone());
            workers.idlest().unwrap().spawn(&shutdown, async move {
                ending.cancelled().await;
                done.send(std::thread::current().name().map(str::to_owned))
                    .unwrap();
            });
        }
        drop(done);
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        let mut seen = Vec::new();
        while let Some(name) = names.recv().await {
            seen.push(name.unwrap());
        }
        seen.sort();
        assert_eq!(seen, ["test-0", "test-0", "test-1", "test-1"]);
        assert_eq!(workers.idlest().unwrap().load.load(Ordering::Relaxed), 0);
    }
}
