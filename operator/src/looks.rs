//! Whose turn it is because of what someone told who is asked again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use chandler_core::validate::ModelKey;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Between the begins of two rounds of questions; a round that takes longer delays the next one.
const PERIOD: Duration = Duration::from_secs(1);

/// Models that are to be looked at at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Every one.
    All,
    /// These.
    Of(BTreeSet<ModelKey>),
}

/// Asks in rounds, until nobody takes the looks that come of them.
pub(crate) async fn in_rounds<F>(looks: &mpsc::Sender<Looks>, mut round: impl FnMut() -> F)
where
    F: Future<Output = Looks>,
{
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let due = round().await;
        if looks.send(due).await.is_err() {
            return;
        }
    }
}
