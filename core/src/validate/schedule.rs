//! Floors by the clock.

use chandler_crds::spec::{Autoscaling, ScheduledFloor};

use super::Invalid;
use crate::schedule::{Floor, FloorError, Schedule};

/// The zone of a floor whose spec names none.
const ZONE: &str = "UTC";

/// The floors that a spec asks for. Each message tells which of them it is about.
pub(super) fn schedule(asked: &Autoscaling, invalid: &mut Vec<Invalid>) -> Schedule {
    let floors = asked.schedule.iter().flatten().zip(1..);
    let floors = floors.filter_map(|(floor, number)| {
        let mut refuse = |(field, message): (&'static str, String)| {
            let message = format!("floor {number}: {message}");
            invalid.push(Invalid { field, message });
        };
        if let Some(problem) = out_of_bounds(floor, asked.max_replicas) {
            refuse(problem);
        }
        let zone = floor.time_zone.as_deref().unwrap_or(ZONE);
        let replicas = u32::try_from(floor.min_replicas).unwrap_or(0);
        Floor::new(&floor.start, &floor.end, zone, replicas)
            .map_err(|error| refuse((field(&error), error.to_string())))
            .ok()
    });
    floors.collect()
}

fn out_of_bounds(floor: &ScheduledFloor, max: i32) -> Option<(&'static str, String)> {
    let asked = floor.min_replicas;
    let message = if asked < 1 {
        format!("{asked} is below 1: write 1 or more")
    } else if asked > max {
        format!("{asked} is above maxReplicas {max}: lower the one or raise the other")
    } else {
        return None;
    };
    Some(("spec.autoscaling.schedule.minReplicas", message))
}

fn field(error: &FloorError) -> &'static str {
    match error {
        FloorError::Start(..) => "spec.autoscaling.schedule.start",
        FloorError::End(..) | FloorError::Empty => "spec.autoscaling.schedule.end",
        FloorError::Zone(_) => "spec.autoscaling.schedule.timeZone",
    }
}
