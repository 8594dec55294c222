//! Which live prompts are asked aside, out of the wire's `rollout.shadow`.

use chandler_crds::spec::{Shadow, Strategy};

use super::Invalid;
use super::rollout::{Aside, DEFAULT_REQUESTS, TakeOver, refused};
use crate::analysis::Limits;
use crate::traffic::ShadowShare;

const FIELD: &str = "spec.rollout.shadow";
/// Answers that are alike, if the spec doesn't say: chrF of 50.
const SIMILARITY: f64 = 0.5;

/// A gate that is asked for and can't be kept must not be waved through: it is refused.
pub(super) fn aside(
    strategy: TakeOver,
    asked: Option<&Shadow>,
    invalid: &mut Vec<Invalid>,
) -> Option<Aside> {
    let asked = asked?;
    let mut refuse = |message: String| invalid.push(refused(FIELD, message));
    if strategy == TakeOver::Recreate {
        let strategy = Strategy::from(strategy);
        refuse(format!(
            "asks two revisions, and with strategy {strategy} the old one is gone: write canary or blueGreen"
        ));
    }
    let percent = u32::try_from(asked.percent).ok();
    let percent = percent.filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        refuse("percent is a share of the prompts: write 1 to 100".to_owned());
    }
    let similarity = asked.similarity.unwrap_or(SIMILARITY);
    if !(similarity > 0.0 && similarity <= 1.0) {
        refuse("similarity is above 0 and at most 1: write such as 0.5".to_owned());
    }
    if !(asked.max_different > 0.0 && asked.max_different < 1.0) {
        refuse("maxDifferent is a share above 0 and below 1: write such as 0.2".to_owned());
    }
    Some(Aside {
        share: ShadowShare {
            percent: percent.unwrap_or(1),
            millionths: (similarity * 1e6) as u32,
        },
        limits: Limits {
            different: Some(asked.max_different),
            min_requests: asked.min_prompts.map_or(DEFAULT_REQUESTS, |least| {
                u64::try_from(least).unwrap_or(1).max(1)
            }),
            ..Limits::default()
        },
    })
}
