//! What the gateways tell of all models, made from their metrics; and whose turn it is because of
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chandler_core::snapshot::GatewaysSeen;
use chandler_core::validate::ModelKey;
use chandler_crds::names::metrics as names;
use chandler_probe::Sample;

use crate::looks::Looks;

/// What all gateways tell together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    models: BTreeMap<ModelKey, Told>,
    open: Option<bool>,
}

/// What is told of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    waiting: u64,
    idle: Option<Duration>,
}

impl View {
    /// Of what each gateway told, `None` of one that told nothing.
    #[must_use]
    pub fn of(gateways: &[Option<Vec<Sample>>]) -> Self {
        let answers: Vec<View> = gateways.iter().flatten().map(|told| one(told)).collect();
        let all_told = answers.len() == gateways.len();
        let keys: BTreeSet<&ModelKey> = answers.iter().flat_map(|it| it.models.keys()).collect();
        let models = keys.into_iter().map(|key| {
            let told = answers.iter().map(|answer| answer.told(key));
            let mut together = told.reduce(Told::and).unwrap_or_default();
            together.idle = together.idle.filter(|_| all_told);
            (key.clone(), together)
        });
        let open = answers.iter().filter_map(|answer| answer.open);
        Self {
            models: models.collect(),
            open: open.reduce(|one, other| one || other),
        }
    }

    /// Of one model, in the terms that decisions are made in.
    #[must_use]
    pub fn seen(&self, key: &ModelKey) -> GatewaysSeen {
        let Told { waiting, idle } = self.told(key);
        GatewaysSeen {
            waiting,
            idle,
            open: self.open,
        }
    }

    /// Whose turn it is, with this view in the place of the one before. A turn of those in
    /// `unsure` found that nobody told how long they had been idle.
    #[must_use]
    pub fn looks(&self, before: &Self, unsure: &BTreeSet<ModelKey>) -> Looks {
        if self.open.is_some() && self.open != before.open {
            return Looks::All;
        }
        let woken = |key: &ModelKey, now: &Told| now.waiting > 0 && before.told(key).waiting == 0;
        let known = |key: &ModelKey, now: &Told| now.idle.is_some() && unsure.contains(key);
        let models = self.models.iter();
        let due = models.filter(|(key, now)| woken(key, now) || known(key, now));
        Looks::Of(due.map(|(key, _)| key.clone()).collect())
    }

    /// A model that a gateway does not know has had no request there, but since when is not told.
    fn told(&self, key: &ModelKey) -> Told {
        self.models.get(key).copied().unwrap_or_default()
    }
}

impl Told {
    /// Of two gateways.
    fn and(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.saturating_add(other.waiting),
            idle: self.idle.zip(other.idle).map(|(one, two)| one.min(two)),
        }
    }
}

/// What one gateway tells.
fn one(samples: &[Sample]) -> View {
    let mut view = View::default();
    for sample in samples {
        match sample.name.as_str() {
            names::GATEWAY_OPEN => view.open = Some(sample.value > 0.0),
            names::GATEWAY_WAITING => {
                if let Some(told) = model(&mut view, sample) {
                    told.waiting = sample.value as u64; // What is no count is none.
                }
            }
            names::GATEWAY_IDLE => {
                if let Some(told) = model(&mut view, sample) {
                    told.idle = Duration::try_from_secs_f64(sample.value).ok();
                }
            }
            _ => {}
        }
    }
    view
}

fn model<'a>(view: &'a mut View, sample: &Sample) -> Option<&'a mut Told> {
    let (namespace, name) = sample.label(names::MODEL)?.split_once('/')?;
    let key = ModelKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Some(view.models.entry(key).or_default())
}

#[cfg(test)]
mod tests {
    use chandler_probe::samples;

    use super::*;

    fn key(name: &str) -> ModelKey {
        ModelKey {
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    /// A gateway's answer: whether it is open, and of each model who waits and how long it is idle.
    fn answer(open: bool, models: &[(&str, u64, &str)]) -> Option<Vec<Sample>> {
        let mut text = format!("{} {}\n", names::GATEWAY_OPEN, u8::from(open));
        for (name, waiting, idle) in models {
            let label = format!("{{model=\"team/{name}\"}}");
            text += &format!("{}{label} {waiting}\n", names::GATEWAY_WAITING);
            text += &format!("{}{label} {idle}\n", names::GATEWAY_IDLE);
        }
        Some(samples(&text).expect("metrics"))
    }

    fn seen(gateways: &[Option<Vec<Sample>>], name: &str) -> (u64, Option<u64>, Option<bool>) {
        let GatewaysSeen {
            waiting,
            idle,
            open,
        } = View::of(gateways).seen(&key(name));
        (waiting, idle.map(|idle| idle.as_secs()), open)
    }

    #[test]
    fn all_gateways_tell_together() {
        let first = || answer(false, &[("a", 1, "0"), ("b", 0, "90.5")]);
        let second = || answer(true, &[("a", 2, "7"), ("b", 0, "60")]);
        let both = [first(), second()];
        assert_eq!(seen(&both, "a"), (3, Some(0), Some(true)));
        assert_eq!(seen(&both, "b"), (0, Some(60), Some(true)));
        assert_eq!(seen(&both, "c"), (0, None, Some(true)));
        assert_eq!(seen(&[first()], "b"), (0, Some(90), Some(false)));
    }

    #[test]
    fn who_is_silent_leaves_unknown_how_long_a_model_is_idle() {
        let told = || answer(false, &[("a", 1, "60")]);
        assert_eq!(seen(&[told(), None], "a"), (1, None, Some(false)));
        let knows_not = answer(false, &[]);
        assert_eq!(seen(&[told(), knows_not], "a"), (1, None, Some(false)));
        assert_eq!(seen(&[None, None], "a"), (0, None, None));
        assert_eq!(seen(&[], "a"), (0, None, None));
    }

    #[test]
    fn what_is_absurd_is_not_told() {
        for idle in ["NaN", "-1", "+Inf"] {
            assert_eq!(seen(&[answer(false, &[("a", 0, idle)])], "a").1, None);
        }
        let text = format!(
            "{w}{{model=\"team/a\"}} NaN\n{w}{{model=\"nowhere\"}} 1\n{w} 1\n",
            w = names::GATEWAY_WAITING
        );
        let told = samples(&text).expect("metrics");
        assert_eq!(seen(&[Some(told)], "a"), (0, None, None));
    }

    #[test]
    fn a_model_is_looked_at_when_it_is_waited_for_or_known_again() {
        let view = |open, models: &[(&str, u64, &str)]| View::of(&[answer(open, models)]);
        let nobody = BTreeSet::new;
        let before = view(false, &[("a", 0, "1"), ("b", 2, "0"), ("c", 0, "9")]);
        let after = view(
            false,
            &[("a", 1, "0"), ("b", 3, "0"), ("c", 0, "10"), ("d", 4, "0")],
        );
        let some = |names: &[&str]| Looks::Of(names.iter().copied().map(key).collect());
        assert_eq!(after.looks(&before, &nobody()), some(&["a", "d"]));
        assert_eq!(before.looks(&after, &nobody()), some(&[]));
        let unsure = [key("c"), key("gone")].into();
        assert_eq!(before.looks(&after, &unsure), some(&["c"]));
        let silent = View::of(&[answer(false, &[("c", 0, "9")]), None]);
        assert_eq!(silent.looks(&before, &unsure), some(&[]), "still not known");
    }

    #[test]
    fn all_are_looked_at_when_it_changes_who_may_ask() {
        let view = |open| View::of(&[answer(open, &[])]);
        let nothing = View::default();
        let nobody = BTreeSet::new();
        assert_eq!(view(true).looks(&view(false), &nobody), Looks::All);
        assert_eq!(view(false).looks(&nothing, &nobody), Looks::All);
        let none = Looks::Of(BTreeSet::new());
        assert_eq!(view(true).looks(&view(true), &nobody), none);
        assert_eq!(nothing.looks(&view(true), &nobody), none, "nothing is new");
    }
}
