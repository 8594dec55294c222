//! Who takes the next request, of revisions that share the traffic by weight.

use std::collections::BTreeMap;

/// Smooth weighted round robin: of any hundred requests in a row each revision takes as many as its
/// weight says, as evenly as can be.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    weights: BTreeMap<String, u32>,
    /// What each is behind its share, in requests times the sum of the weights.
    credit: BTreeMap<String, i64>,
}

impl Shares {
    /// From now on these are the weights of those that can take requests.
    pub(crate) fn set(&mut self, weights: BTreeMap<String, u32>) {
        if weights != self.weights {
            self.weights = weights;
            self.credit.clear();
        }
    }

    /// The revision that takes the next request; `None` if none can.
    pub(crate) fn next(&mut self) -> Option<String> {
        let sum: i64 = self.weights.values().map(|weight| i64::from(*weight)).sum();
        for (name, weight) in &self.weights {
            *self.credit.entry(name.clone()).or_default() += i64::from(*weight);
        }
        let first = self.credit.iter().rev().max_by_key(|(_, credit)| **credit);
        let name = first?.0.clone();
        *self.credit.entry(name.clone()).or_default() -= sum;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_its_share_evenly() {
        let mut shares = Shares::default();
        assert_eq!(shares.next(), None);
        shares.set([("a".to_owned(), 90), ("b".to_owned(), 10)].into());
        for _ in 0..10 {
            let ten: Vec<_> = (0..10).filter_map(|_| shares.next()).collect();
            assert_eq!(ten.iter().filter(|name| *name == "b").count(), 1);
        }
        shares.set([("b".to_owned(), 10)].into());
        assert_eq!(shares.next().as_deref(), Some("b"));
    }
}
