//! What the schedule makes of a count, beside being its least.

use std::time::Duration;

use jiff::Timestamp;

use super::Wanted;
use crate::schedule::Held;
use crate::validate::Validated;
use crate::why::Why;

/// A change of the schedule is waited for no longer than this at a time: a clock that is set meanwhile
/// brings it nearer, and nothing else would tell.
const LOOK: Duration = Duration::from_secs(3600);

/// Tells of a floor that holds, or that will wake a model at rest, and asks for a look when that is
/// another.
pub(super) fn tell(spec: &Validated, floor: Option<Held>, now: Timestamp, wanted: &mut Wanted) {
    if let Some(Held { replicas, until }) = floor {
        wanted.why.push(Why::Scheduled { replicas, until });
    }
    let Some(at) = spec.schedule.changes(now) else {
        return;
    };
    if wanted.replicas == 0 {
        wanted.why.push(Why::ScheduleWakes { at });
    }
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    wanted.look_soon(Some(wait.min(LOOK)));
}
