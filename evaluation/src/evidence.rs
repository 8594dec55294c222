//! What one revision's answers come to, item by item, in a form that is cheap to resample.

use chandler_crds::spec::EvaluationMetric;

use crate::metrics::{
    self, Embedded, Needs, Position, bleu, chrf, contains, distinct_n, embedding, exact_match,
    kl_divergence, mean, perplexity, regex, rouge_l, self_bleu,
};
use crate::suite::{Item, Suite};

/// Scores and sufficient statistics of each item of a suite.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    metric: EvaluationMetric,
    ids: Vec<String>,
    /// Of each item by itself.
    scores: Vec<f64>,
    /// Of all items in a row, `width` numbers each; the weights are in them.
    statistics: Vec<f64>,
    width: usize,
}

/// Why what a revision gave cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// Something else than the metric is computed from.
    #[error("{metric} is computed from {}, not from {}", needs.as_str(), given.as_str())]
    WrongInput {
        /// Its name in a spec.
        metric: &'static str,
        /// What it is computed from.
        needs: Needs,
        /// What came.
        given: Needs,
    },
    /// Not one for each item.
    #[error("the suite has {items} items, and {given} came")]
    Count {
        /// Items of the suite.
        items: usize,
        /// What came.
        given: usize,
    },
    /// An answer without another one to compare it with.
    #[error("selfBleu compares answers with each other: a suite needs at least two items")]
    OneAnswer,
    /// One item cannot be scored.
    #[error("item `{id}`: {problem}")]
    Item {
        /// Its id.
        id: String,
        /// What is wrong.
        problem: Problem,
    },
}

/// Why what a revision gave for one item cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// No vector to compare with.
    #[error("there is no reference's vector")]
    NoReferences,
    /// Vectors of different models.
    #[error("the answer's vector has {answer} numbers and a reference's {reference}")]
    Dimensions {
        /// Length of the answer's.
        answer: usize,
        /// Length of the reference's.
        reference: usize,
    },
    /// An infinity, or not a number.
    #[error("a number is not finite")]
    NotFinite,
    /// Nothing to average over.
    #[error("there are no tokens")]
    NoTokens,
    /// No logarithm of a probability.
    #[error("{logprob} is no logarithm of a probability: it is above 0")]
    PositiveLogprob {
        /// As it came.
        logprob: f64,
    },
    /// One token with two probabilities.
    #[error("the token `{token}` is told twice at one position")]
    TokenTwice {
        /// The token.
        token: String,
    },
    /// Probabilities that are not of one distribution.
    #[error("the probabilities at one position sum up to {sum}")]
    OverOne {
        /// Their sum.
        sum: f64,
    },
}

/// One item's score and statistics.
type Scored = (f64, Vec<f64>);

impl Evidence {
    /// From the answers' texts, one for each item in the suite's order.
    ///
    /// # Errors
    /// When the metric is not computed from texts alone, or there are too few or too many.
    pub fn of_answers<T: AsRef<str>>(suite: &Suite, answers: &[T]) -> Result<Self, EvidenceError> {
        check(suite, Needs::Answers, answers.len())?;
        let items = suite.items();
        let scored = match suite.metric() {
            EvaluationMetric::SelfBleu if items.len() < 2 => return Err(EvidenceError::OneAnswer),
            EvaluationMetric::SelfBleu => {
                let scores = self_bleu::scores(answers).into_iter().zip(items);
                let means =
                    scores.map(|(score, item)| (score, mean::statistics(score, item.weight)));
                means.collect()
            }
            EvaluationMetric::DistinctN => {
                let shares = distinct_n::shares(answers).into_iter();
                shares
                    .map(|share| (share.score, share.statistics))
                    .collect()
            }
            _ => {
                let answers = answers.iter().map(AsRef::as_ref);
                let each = answers.enumerate();
                each.map(|(index, answer)| one_answer(suite, index, answer))
                    .collect()
            }
        };
        Ok(Self::new(suite, scored))
    }

    /// From vectors of answers and references, one set for each item in the suite's order.
    ///
    /// # Errors
    /// When the metric is not computed from vectors, or they are not of one model.
    pub fn of_embeddings(suite: &Suite, embedded: &[Embedded]) -> Result<Self, EvidenceError> {
        check(suite, Needs::Embeddings, embedded.len())?;
        let scored = each(suite, embedded, |embedded, weight| {
            let score = embedding::score(embedded)?;
            Ok((score, mean::statistics(score, weight)))
        })?;
        Ok(Self::new(suite, scored))
    }

    /// From the natural logarithms of the probabilities that the revision gives to the tokens of each
    /// item's references, all of an item's together.
    ///
    /// # Errors
    /// When the metric is not computed from them, or they are no logarithms of probabilities.
    pub fn of_reference_logprobs(
        suite: &Suite,
        logprobs: &[Vec<f64>],
    ) -> Result<Self, EvidenceError> {
        check(suite, Needs::ReferenceLogprobs, logprobs.len())?;
        let scored = each(suite, logprobs, |logprobs, weight| {
            let statistics = perplexity::statistics(logprobs, weight)?;
            Ok((perplexity::score(&statistics), statistics))
        })?;
        Ok(Self::new(suite, scored))
    }

    /// From the likeliest next tokens of both revisions at each position of each item. What comes
    /// back is the stable revision's evidence, which diverges from itself by nothing, and the
    /// canary's.
    ///
    /// # Errors
    /// When the metric is not computed from them, or they are no distributions.
    pub fn of_next_tokens(
        suite: &Suite,
        positions: &[Vec<Position>],
    ) -> Result<(Self, Self), EvidenceError> {
        check(suite, Needs::NextTokens, positions.len())?;
        let scored = each(suite, positions, |positions, weight| {
            let statistics = kl_divergence::statistics(positions, weight)?;
            Ok((mean::score(&statistics), statistics))
        })?;
        let nothing = scored
            .iter()
            .map(|(_, statistics)| (0.0, vec![0.0, statistics[1]]));
        let stable = Self::new(suite, nothing.collect());
        Ok((stable, Self::new(suite, scored)))
    }

    fn new(suite: &Suite, scored: Vec<Scored>) -> Self {
        let width = scored.first().map_or(0, |(_, statistics)| statistics.len());
        Self {
            metric: suite.metric(),
            ids: suite.items().iter().map(|item| item.id.clone()).collect(),
            scores: scored.iter().map(|(score, _)| *score).collect(),
            statistics: scored.into_iter().flat_map(|(_, row)| row).collect(),
            width,
        }
    }

    /// How the answers were scored.
    #[must_use]
    pub fn metric(&self) -> EvaluationMetric {
        self.metric
    }

    /// The items' ids, in the suite's order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The score of each item by itself, in the suite's order. For BLEU, chrF and perplexity the
    /// suite's score is not their mean.
    #[must_use]
    pub fn item_scores(&self) -> &[f64] {
        &self.scores
    }

    /// The score of the suite.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.score_of(0..self.ids.len())
    }

    /// The score of a suite of these items, by index, some of them several times.
    pub(crate) fn score_of(&self, items: impl Iterator<Item = usize>) -> f64 {
        let mut sum = vec![0.0; self.width];
        for item in items {
            let row = &self.statistics[item * self.width..][..self.width];
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let properties = metrics::properties(self.metric);
        // Rounding, and pseudo-values of the jackknife, may lead out of the range.
        let highest = properties.highest.unwrap_or(f64::MAX);
        metrics::score(self.metric, &sum).clamp(properties.lowest, highest)
    }
}

/// The metrics that look at one answer and its references.
fn one_answer(suite: &Suite, index: usize, answer: &str) -> Scored {
    let Item {
        references, weight, ..
    } = &suite.items()[index];
    let score = match suite.metric() {
        EvaluationMetric::Bleu => {
            let matches = bleu::matches(answer, references);
            return (matches.sentence_score(), matches.statistics(*weight));
        }
        EvaluationMetric::Chrf => {
            let matches = chrf::matches(answer, references);
            return (matches.score(), matches.statistics(*weight));
        }
        EvaluationMetric::Contains => contains::score(answer, references),
        EvaluationMetric::Regex => regex::score(answer, &suite.patterns()[index]),
        EvaluationMetric::RougeL => rouge_l::score(answer, references),
        // `check` lets no other metric come here.
        _ => exact_match::score(answer, references),
    };
    (score, mean::statistics(score, *weight))
}

fn check(suite: &Suite, given: Needs, count: usize) -> Result<(), EvidenceError> {
    let properties = metrics::properties(suite.metric());
    if properties.needs != given {
        return Err(EvidenceError::WrongInput {
            metric: properties.name,
            needs: properties.needs,
            given,
        });
    }
    let items = suite.items().len();
    if items != count {
        let given = count;
        return Err(EvidenceError::Count { items, given });
    }
    Ok(())
}

fn each<T>(
    suite: &Suite,
    given: &[T],
    score: impl Fn(&T, f64) -> Result<Scored, Problem>,
) -> Result<Vec<Scored>, EvidenceError> {
    let pairs = suite.items().iter().zip(given);
    let scored = pairs.map(|(item, given)| {
        score(given, item.weight).map_err(|problem| EvidenceError::Item {
            id: item.id.clone(),
            problem,
        })
    });
    scored.collect()
}
