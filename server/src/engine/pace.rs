//! How long steps take, learnt from those that were taken, and how much of prompts a step may read
//! without holding up those that write.
//!
//! Pure: how long a step took is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

/// Weight of the newest step in what is known of its like.
const NEWEST: f64 = 0.2;
/// What reading takes beside writing, as a share of what writing alone takes: tokens of answers are then to come
/// at more than half their pace. Much is spared for what is not known yet: the end of a long prompt is read more slowly
/// than its beginning.
const BESIDE: f64 = 0.5;
/// Where nobody writes, a step takes about as long: a client that has gone is noticed after it, and who
/// comes meanwhile begins after it.
const ALONE: Duration = Duration::from_millis(250);
/// Fewest tokens of prompts in a step: with less, prompts would never be read.
const FEWEST: usize = 4;
/// Tokens of prompts in a step while nothing is known.
const AT_FIRST: usize = 128;

/// What is known of an engine's steps.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Most tokens of prompts in a step.
    most: usize,
    /// Seconds of a step in which so many sequences write and none reads.
    writing: BTreeMap<usize, f64>,
    /// Tokens of prompts a second.
    reading: Option<f64>,
}

impl Pace {
    /// Of an engine whose steps may have so many tokens of prompts.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(FEWEST),
            writing: BTreeMap::new(),
            reading: None,
        }
    }

    /// A step took so long, in which so many sequences wrote, and so many tokens of prompts were read.
    pub(crate) fn took(&mut self, writing: usize, read: usize, time: Duration) {
        let seconds = time.as_secs_f64().max(1e-9);
        if read == 0 {
            let known = self.writing.entry(writing).or_insert(seconds);
            *known += NEWEST * (seconds - *known);
            return;
        }
        // What is known of writing may be out of date: reading took part of the time in any case.
        let alone = self.seconds(writing).unwrap_or_default();
        let reading = read as f64 / (seconds - alone).max(seconds / 4.0);
        let known = self.reading.get_or_insert(reading);
        *known += NEWEST * (reading - *known);
    }

    /// Tokens that the next step may compute, if so many sequences write in it.
    pub(crate) fn budget(&self, writing: usize) -> usize {
        let seconds = match writing {
            0 => Some(ALONE.as_secs_f64()),
            _ => self.seconds(writing).map(|seconds| BESIDE * seconds),
        };
        let read = match (seconds, self.reading) {
            (Some(seconds), Some(reading)) => (seconds * reading) as usize,
            _ => AT_FIRST,
        };
        writing + read.clamp(FEWEST, self.most)
    }

    /// Tokens of prompts that are read a second.
    pub(crate) fn prefill_rate(&self) -> Option<f64> {
        self.reading
    }

    /// Tokens that the largest batch so far writes a second.
    pub(crate) fn decode_rate(&self) -> Option<f64> {
        let (writing, seconds) = self.writing.last_key_value()?;
        Some(*writing as f64 / seconds)
    }

    /// What a step takes in which so many write: that of the next smaller batch that is known, which takes
    /// no longer, else that of the next larger one.
    fn seconds(&self, writing: usize) -> Option<f64> {
        let smaller = self.writing.range(..=writing).next_back();
        let known = smaller.or_else(|| self.writing.range(writing..).next());
        known.map(|(_, seconds)| *seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);
    const MOST: usize = 512;

    #[test]
    fn reading_takes_less_time_than_writing_beside_it() {
        let mut pace = Pace::new(MOST);
        assert_eq!(pace.budget(4), 4 + AT_FIRST);
        pace.took(4, 0, STEP);
        // 200 tokens a second.
        pace.took(4, 10, 2 * STEP);
        assert_eq!(pace.prefill_rate(), Some(200.0));
        assert_eq!(pace.decode_rate(), Some(80.0));
        // In 25 ms.
        assert_eq!(pace.budget(4), 4 + 5);
        pace.took(1, 0, STEP * 10);
        assert_eq!(pace.budget(2), 2 + 50);
        // In 250 ms.
        assert_eq!(pace.budget(0), 50);
    }

    #[test]
    fn a_step_is_neither_endless_nor_without_any_prompt() {
        let mut pace = Pace::new(MOST);
        pace.took(1, 0, Duration::ZERO);
        pace.took(1, 100, 100 * STEP);
        assert_eq!(pace.budget(1), 1 + FEWEST);
        for _ in 0..100 {
            pace.took(0, MOST, Duration::ZERO);
        }
        assert_eq!(pace.budget(0), MOST);
        assert_eq!(Pace::new(64).budget(2), 2 + 64);
    }

    #[test]
    fn what_changes_is_learnt_anew() {
        let mut pace = Pace::new(MOST);
        pace.took(0, 100, STEP);
        for _ in 0..50 {
            pace.took(0, 100, 2 * STEP);
        }
        let rate = pace.prefill_rate().expect("it is known");
        assert!((rate - 1000.0).abs() < 1.0, "{rate}");
    }
}
