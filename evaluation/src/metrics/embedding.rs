//! The cosine of the angle between an answer's vector and a reference's, the best of several
//! references (Salton, Wong and Yang, "A Vector Space Model for Automatic Indexing", 1975; for
//! sentences, Reimers and Gurevych, "Sentence-BERT", 2019). A suite's score is the mean over its items.

use crate::evidence::Problem;

/// Vectors of one item, all of the same model and length. They need no length of 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// The answer's.
    pub answer: Vec<f32>,
    /// One for each reference.
    pub references: Vec<Vec<f32>>,
}

/// The cosine with the closest reference, −1 to 1.
pub(crate) fn score(embedded: &Embedded) -> Result<f64, Problem> {
    let mut best = None;
    for reference in &embedded.references {
        let cosine = cosine(&embedded.answer, reference)?;
        best = Some(best.map_or(cosine, |best: f64| best.max(cosine)));
    }
    best.ok_or(Problem::NoReferences)
}

/// 0 for vectors of nothing but zeros, which have no direction.
fn cosine(a: &[f32], b: &[f32]) -> Result<f64, Problem> {
    if a.len() != b.len() {
        return Err(Problem::Dimensions {
            answer: a.len(),
            reference: b.len(),
        });
    }
    if !a.iter().chain(b).all(|value| value.is_finite()) {
        return Err(Problem::NotFinite);
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths == 0.0 {
        return Ok(0.0);
    }
    // Rounding may carry the quotient of equal vectors past 1.
    Ok((dot(a, b) / lengths).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(answer: &[f32], references: &[&[f32]]) -> Embedded {
        Embedded {
            answer: answer.to_vec(),
            references: references.iter().map(|vector| vector.to_vec()).collect(),
        }
    }

    #[test]
    fn the_closest_reference_counts_whatever_the_lengths() {
        let both = embedded(&[3.0, 4.0], &[&[-1.0, 0.0], &[10.0, 0.0]]);
        let near = |embedded: &Embedded, expected: f64| {
            let score = score(embedded).expect("vectors of one model");
            assert!((score - expected).abs() < 1e-12, "{score}");
        };
        near(&both, 0.6);
        near(&embedded(&[1.0, 2.0], &[&[-2.0, -4.0]]), -1.0);
        near(&embedded(&[0.0, 0.0], &[&[1.0, 0.0]]), 0.0);
    }

    #[test]
    fn vectors_that_have_no_angle_are_refused() {
        let lengths = Problem::Dimensions {
            answer: 1,
            reference: 2,
        };
        assert_eq!(score(&embedded(&[1.0], &[&[1.0, 0.0]])), Err(lengths));
        assert_eq!(
            score(&embedded(&[f32::NAN], &[&[1.0]])),
            Err(Problem::NotFinite)
        );
        assert_eq!(score(&embedded(&[1.0], &[])), Err(Problem::NoReferences));
    }
}
