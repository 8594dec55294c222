//! All that a replica could do, were its batch full: found without any strain, from how its steps
//! become longer as more is computed in them.
//!
//! A step takes `base + prompt · tokens of prompts in it`, whatever the number of sequences that it writes
//! a token of. A slot's steps are its written tokens over the sequences that a step had. So each slot
//! of the trail tells
//!
//! ```text
//! time = base · written / sequences + prompt · read
//! ```
//!
//! and least squares over those with different numbers of sequences tell `base` from `prompt`. What
//! a sequence itself adds to a step is counted with the prompts: it grows with them.
//! Full batches of `most` sequences write `most / base` tokens a second.

use crate::load::{Slot, Trail};

/// Slots that must have been seen.
const LEAST_SLOTS: usize = 12;
/// How much it weighs, in slots, that both halves are supposed to be alike: it decides only while
/// slots are too much alike themselves.
const SUPPOSED: f64 = 0.02;

/// Each of both takes at least so much of half of the time.
const LEAST_SHARE: f64 = 0.05;

/// Tokens a second of prompts, were there nothing else to do, and of answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    pub(super) prefill: f64,
    pub(super) decode: f64,
}

/// One slot: the time that its steps took, their number, and the prompts' tokens.
struct Point {
    seconds: f64,
    steps: f64,
    read: f64,
}

/// Of replicas that compute at most `most` requests at a time. `None` if too little was seen, or if
/// they don't write.
pub(super) fn reach(trail: &Trail, most: f64) -> Option<Reach> {
    let points: Vec<Point> = trail.0.iter().filter_map(point).collect();
    if points.len() < LEAST_SLOTS || most < 1.0 {
        return None;
    }
    let sum = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
    let seconds = sum(|it| it.seconds);
    // What both would cost if they took half of the time each.
    let base = seconds / 2.0 / sum(|it| it.steps);
    let prompt = seconds / 2.0 / sum(|it| it.read);
    let share = share(points.iter().map(|it| {
        let weight = it.seconds * points.len() as f64 / seconds;
        let (steps, read) = (base * it.steps, prompt * it.read);
        (weight, steps / it.seconds, read / it.seconds)
    }));
    Some(Reach {
        prefill: 1.0 / (prompt * (2.0 - share)),
        decode: most / (base * share),
    })
}

/// The `x` for which the squares of `1 - x · steps - y · read` are least, over all weights, steps
/// and reads of slots. They are such that `x + y` is 2, nearly.
fn share(slots: impl Iterator<Item = (f64, f64, f64)>) -> f64 {
    let (mut steps2, mut both, mut read2) = (SUPPOSED, 0.0, SUPPOSED);
    let (mut steps1, mut read1) = (SUPPOSED, SUPPOSED);
    for (weight, steps, read) in slots {
        steps2 += weight * steps * steps;
        both += weight * steps * read;
        read2 += weight * read * read;
        steps1 += weight * steps;
        read1 += weight * read;
    }
    let share = (steps1 * read2 - read1 * both) / (steps2 * read2 - both * both);
    // Neither costs nothing.
    share.clamp(LEAST_SHARE, 2.0 - LEAST_SHARE)
}

fn point(slot: &Slot) -> Option<Point> {
    let Slot {
        prompt_tokens,
        generation_tokens,
        running_seconds,
        beside_seconds,
        ..
    } = *slot;
    let has_all = prompt_tokens > 0.0
        && generation_tokens > 0.0
        && running_seconds > 0.0
        && beside_seconds > 0.0;
    has_all.then(|| {
        let sequences = (beside_seconds / running_seconds).max(1.0);
        Point {
            seconds: running_seconds / sequences,
            steps: generation_tokens / sequences,
            read: prompt_tokens,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: f64 = 10.0;

    /// A slot of a replica that has so many sequences and reads so many tokens for each that it writes,
    /// its steps taking 20 ms, and 1 ms for each ten tokens of prompts.
    fn slot(sequences: f64, read: f64) -> Slot {
        let step = 0.020 + 0.0001 * read * sequences;
        let written = SLOT / step * sequences;
        Slot {
            prompt_tokens: read * written,
            generation_tokens: written,
            running_seconds: SLOT * sequences,
            beside_seconds: SLOT * sequences * sequences,
            ..Slot::default()
        }
    }

    fn of(slots: impl Iterator<Item = Slot>) -> Option<Reach> {
        reach(&Trail(slots.collect()), 32.0)
    }

    #[test]
    fn a_full_batch_is_foretold_from_small_ones() {
        let slots = (0..120).map(|at| slot(3.0 + f64::from(at % 5), 20.0));
        let reach = of(slots).expect("enough was seen");
        // What is supposed of both halves counts a little.
        assert!((reach.prefill / 10_000.0 - 1.0).abs() < 0.05, "{reach:?}");
        assert!((reach.decode / 1600.0 - 1.0).abs() < 0.05, "{reach:?}");
    }

    #[test]
    fn of_an_engine_that_takes_one_at_a_time_all_is_seen() {
        let slots = (0..60).map(|at| slot(1.0, 10.0 + 20.0 * f64::from(at % 7)));
        let reach = super::reach(&Trail(slots.collect()), 1.0).expect("enough was seen");
        assert!((reach.prefill / 10_000.0 - 1.0).abs() < 0.05, "{reach:?}");
        assert!((reach.decode / 50.0 - 1.0).abs() < 0.05, "{reach:?}");
    }

    #[test]
    fn slots_alike_tell_their_sum_alone() {
        let reach = of((0..60).map(|_| slot(8.0, 4.0))).expect("enough was seen");
        let it = slot(8.0, 4.0);
        // With as many sequences as were seen, a slot's work takes the slot.
        let decode = reach.decode * 8.0 / 32.0;
        let busy = it.prompt_tokens / reach.prefill + it.generation_tokens / decode;
        assert!((busy / SLOT - 1.0).abs() < 0.01, "{busy}");
    }

    #[test]
    fn little_or_nothing_written_tells_nothing() {
        assert_eq!(of((0..11).map(|_| slot(8.0, 4.0))), None);
        let reads = |_| Slot {
            generation_tokens: 0.0,
            ..slot(8.0, 4.0)
        };
        assert_eq!(of((0..60).map(reads)), None);
        assert_eq!(
            reach(&Trail((0..60).map(|_| slot(8.0, 4.0)).collect()), 0.0),
            None
        );
    }
}
