//! The head of a classifier of whole texts: from the vector of a text's first token to a number for each label.

use candle_core::{Result, Tensor};

use super::linear::Linear;

/// What becomes of a text's scores, one a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scores {
    /// Shares of 1: one label is true.
    Softmax,
    /// Each is between 0 and 1 by itself: any number of labels is true.
    Sigmoid,
    /// They stay as they are: a regression.
    Raw,
}

/// BERT's: a pooler of the first token, then a layer with a row for each label.
pub(crate) struct Classifier {
    /// From hidden to hidden values.
    pub(crate) pooler: Linear,
    /// From hidden values to one for each label.
    pub(crate) labels: Linear,
    /// How many labels there are.
    pub(crate) count: usize,
    pub(crate) scores: Scores,
}

impl Classifier {
    /// The numbers of each text, in the order of the labels. `first` has the vectors of their first tokens,
    /// `(texts, hidden)`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn forward(&self, first: &Tensor) -> Result<Vec<Vec<f32>>> {
        let pooled = self.pooler.forward(first)?.tanh()?;
        let mut texts: Vec<Vec<f32>> = self.labels.forward(&pooled)?.to_vec2()?;
        for scores in &mut texts {
            self.scores.apply(scores);
        }
        Ok(texts)
    }
}

impl Scores {
    fn apply(self, scores: &mut [f32]) {
        match self {
            Self::Softmax => softmax(scores),
            Self::Sigmoid => scores
                .iter_mut()
                .for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Self::Raw => {}
        }
    }
}

fn softmax(scores: &mut [f32]) {
    // Nothing overflows where the greatest is 0.
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = (*score - greatest).exp();
    }
    let sum: f32 = scores.iter().sum();
    for score in scores {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied<const N: usize>(scores: Scores, mut numbers: [f32; N]) -> [f32; N] {
        scores.apply(&mut numbers);
        numbers
    }

    #[test]
    fn scores_become_what_the_problem_asks_for() {
        assert_eq!(applied(Scores::Raw, [3.0, -1.0]), [3.0, -1.0]);
        assert_eq!(
            applied(Scores::Sigmoid, [0.0, 200.0, -200.0]),
            [0.5, 1.0, 0.0]
        );
        assert_eq!(applied(Scores::Softmax, [7.0]), [1.0]);
        let third = 3f32.ln();
        let [small, large] = applied(Scores::Softmax, [0.0, third]);
        assert!((small - 0.25).abs() < 1e-6 && (large - 0.75).abs() < 1e-6);
    }

    #[test]
    fn great_scores_do_not_overflow_and_what_is_no_number_stays_none() {
        assert_eq!(applied(Scores::Softmax, [1e30, -1e30]), [1.0, 0.0]);
        let [broken, _] = applied(Scores::Softmax, [f32::NAN, 1.0]);
        assert!(broken.is_nan());
        let [broken] = applied(Scores::Sigmoid, [f32::NAN]);
        assert!(broken.is_nan());
    }
}
