//! The paired bootstrap over items (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
//! chapters 6 and 13; for BLEU, Koehn, "Statistical Significance Tests for Machine Translation
//! Evaluation", EMNLP 2004).
//!
//! A suite is a sample of what a model may be asked. Drawing as many items from it with replacement,
//! again and again, shows how much a score depends on which questions were in it. Both revisions are
//! scored on the same draw, so what makes a question hard for both is no difference between them.

use serde::{Deserialize, Serialize};

use crate::compare::CompareError;
use crate::evidence::Evidence;
use crate::random::Random;

/// Fewest resamples: with fewer, the ends of an interval are a matter of luck.
pub(crate) const LEAST_RESAMPLES: usize = 100;
/// Fewest items that can be resampled.
pub(crate) const LEAST_ITEMS: usize = 2;

/// How an interval is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// Decides which items are drawn: the same seed gives the same interval.
    pub seed: u64,
    /// Suites that are drawn, at least 100.
    pub resamples: usize,
    /// Share of such intervals that hold the true difference, between 0 and 1.
    pub confidence: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            seed: 0,
            resamples: 2000,
            confidence: 0.95,
        }
    }
}

/// Where a difference lies with some confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Bootstrap {
    /// Which of the sorted differences, counted from either end, are the interval's ends:
    /// `⌊(B + 1) α/2⌋`, counted from 1.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is from 1 to half of the resamples.
    fn rank(self) -> Result<usize, CompareError> {
        let Self {
            resamples,
            confidence,
            ..
        } = self;
        if resamples < LEAST_RESAMPLES {
            return Err(CompareError::Resamples { resamples });
        }
        let rank = ((resamples + 1) as f64 * (1.0 - confidence) / 2.0).floor();
        // Not so of what is no number, either.
        if confidence > 0.0 && rank >= 1.0 {
            Ok(rank as usize)
        } else {
            let error = CompareError::Confidence {
                confidence,
                resamples,
            };
            Err(error)
        }
    }

    /// The percentile interval of the canary's score less the stable revision's; none where there are
    /// too few items. Both have the same items.
    pub(crate) fn interval(
        self,
        stable: &Evidence,
        canary: &Evidence,
    ) -> Result<Option<Interval>, CompareError> {
        let rank = self.rank()?;
        let items = stable.ids().len();
        if items < LEAST_ITEMS {
            return Ok(None);
        }
        let mut random = Random::new(self.seed);
        let mut drawn = vec![0; items];
        let mut differences = Vec::with_capacity(self.resamples);
        for _ in 0..self.resamples {
            drawn.fill_with(|| random.below(items));
            let of = |evidence: &Evidence| evidence.score_of(drawn.iter().copied());
            differences.push(of(canary) - of(stable));
        }
        differences.sort_unstable_by(f64::total_cmp);
        Ok(Some(Interval {
            low: differences[rank - 1],
            high: differences[self.resamples - rank],
        }))
    }
}
