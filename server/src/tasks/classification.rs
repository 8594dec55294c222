//! Texts to classify: as those to embed, but that the numbers of a vector are of labels.

use std::sync::Arc;

use super::EmbeddingTask;

/// A model that tells labels of texts.
#[derive(Clone, Debug)]
pub struct ClassificationTask {
    encoder: EmbeddingTask,
    labels: Arc<[String]>,
}

impl ClassificationTask {
    /// A task whose `encoder` gives a number for each of `labels`, in their order.
    #[must_use]
    pub fn new(encoder: EmbeddingTask, labels: Vec<String>) -> Self {
        Self {
            encoder,
            labels: labels.into(),
        }
    }

    /// What computes the numbers: its vectors have one for each label.
    #[must_use]
    pub fn encoder(&self) -> &EmbeddingTask {
        &self.encoder
    }

    /// Names of the labels.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The label of the greatest of a text's numbers; of equal ones the first.
    #[must_use]
    pub fn likeliest(&self, numbers: &[f32]) -> &str {
        let labelled = numbers.iter().zip(self.labels.iter());
        let likeliest = labelled.reduce(|best, other| match other.0 > best.0 {
            true => other,
            false => best,
        });
        likeliest.map_or("", |(_, label)| label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{ToyEmbedder, byte_tokenizer};
    use crate::engine::{EmbeddingEngine, QueueBounds};
    use crate::metrics::Metrics;

    #[test]
    fn the_greatest_number_names_the_label() {
        let metrics = Arc::new(Metrics::new("m").unwrap());
        let bounds = QueueBounds::of_requests(4);
        let engine = EmbeddingEngine::start(Box::new(ToyEmbedder::new()), None, bounds, metrics);
        let encoder = EmbeddingTask::new(engine.unwrap(), byte_tokenizer(), 64, 3).unwrap();
        let task = ClassificationTask::new(encoder, ["a", "b", "c"].map(str::to_owned).into());
        assert_eq!(task.likeliest(&[0.1, 0.2, 0.7]), "c");
        assert_eq!(task.likeliest(&[-3.0, -2.0, -2.0]), "b");
        assert_eq!(task.likeliest(&[0.5, 0.5, 0.0]), "a");
    }
}
