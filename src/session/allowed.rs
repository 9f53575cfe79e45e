//! Who may run replication hazards (`[sessions] allow_hazards`).

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Names of users, as they log in; without a host part, and in exactly this case, as at the source.
/// All clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct AllowedUsers(Arc<ArcSwap<Vec<String>>>);

impl AllowedUsers {
    pub fn new(names: Vec<String>) -> Self {
        let allowed = Self::default();
        allowed.set(names);
        allowed
    }

    /// Counts from each session's next command on.
    pub fn set(&self, names: Vec<String>) {
        self.0.store(Arc::new(names));
    }

    pub fn contains(&self, user: &str) -> bool {
        self.0.load().iter().any(|name| name == user)
    }
}
