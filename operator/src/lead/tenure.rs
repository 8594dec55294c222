use tokio::sync::watch;
use tokio::time::Instant;

/// Until when this process may act as the leader. Everyone who acts looks at it first: a process
/// that was stopped for a while must not go on where it was when someone else may lead.
#[derive(Clone, Debug)]
pub struct Tenure(watch::Sender<Option<Instant>>);

impl Default for Tenure {
    fn default() -> Self {
        Self::new()
    }
}

impl Tenure {
    /// Of a process that does not lead.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn extend(&self, until: Instant) {
        self.0.send_replace(Some(until));
    }

    pub(crate) fn end(&self) {
        self.0.send_replace(None);
    }
}
