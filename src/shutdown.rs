//! One token and one gate for the whole process: every task holds a clone, leaves when `cancelled`
//! resolves, and the drain waits until the last clone of the gate is gone.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves once a drain has begun. Cancel-safe.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Whether `time` went by before a drain began: for what is done again and again until then. Cancel-safe.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.cancelled() => false,
        }
    }

    /// Runs a task that the drain waits for.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(future);
    }

    /// Runs a task that is dropped, wherever it waits, when a drain begins.
    pub fn spawn_until_cancelled<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.tasks.spawn(async move {
            token.run_until_cancelled(future).await;
        });
    }

    /// The same as [`Self::spawn`] on another event loop than the caller's.
    pub fn spawn_on<F>(&self, runtime: &tokio::runtime::Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn_on(future, runtime);
    }

    /// Resolves when a drain has begun and every task has left.
    pub async fn drained(&self) {
        self.token.cancelled().await;
        self.tasks.wait().await;
    }

    /// Tells every task to leave and waits for them; false when the deadline passed first.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tasks.close();
        tokio::time::timeout(deadline, self.tasks.wait())
            .await
            .is_ok()
    }
}
