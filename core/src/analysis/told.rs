//! What one gateway tells of revisions that share a model's traffic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tally::Tally;

/// All models whose traffic more than one revision has, by `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tallies(pub BTreeMap<String, Compared>);

/// What is counted of one model since its traffic is spread as it is. Only requests that were sent
/// since then are counted: of those before, the long ones alone would still be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Another one with each counting that begins at none.
    pub epoch: String,
    /// By revision.
    pub revisions: BTreeMap<String, Tally>,
}

impl Compared {
    /// What was added since the same gateway told `earlier`.
    #[must_use]
    pub fn since(&self, earlier: Option<&Self>) -> BTreeMap<String, Tally> {
        let same = earlier.filter(|earlier| earlier.epoch == self.epoch);
        let added = self.revisions.iter().map(|(revision, tally)| {
            let before = same.and_then(|it| it.revisions.get(revision));
            let added = before.map_or_else(|| tally.clone(), |before| tally.since(before));
            (revision.clone(), added)
        });
        added.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compared(epoch: &str, failed: u64) -> Compared {
        let tally = Tally {
            failed,
            ..Tally::default()
        };
        Compared {
            epoch: epoch.to_owned(),
            revisions: [("r".to_owned(), tally)].into(),
        }
    }

    #[test]
    fn counting_that_began_anew_was_added_whole() {
        let before = compared("a", 5);
        for (now, wanted) in [(compared("a", 7), 2), (compared("b", 7), 7)] {
            assert_eq!(now.since(Some(&before))["r"].failed, wanted);
            assert_eq!(now.since(None)["r"].failed, 7);
        }
    }

    #[test]
    fn they_are_an_object_by_model() {
        let tallies = Tallies([("team/m".to_owned(), Compared::default())].into());
        let text = serde_json::to_string(&tallies).unwrap();
        assert_eq!(text, r#"{"team/m":{"epoch":"","revisions":{}}}"#);
    }
}
