//! Baselines as a command line names them.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use super::{Fixed, Hpa, Keda, Kpa, KubeAi};
use crate::traffic::Policy;

/// Knative's share of what a container takes at a time, `container-concurrency-target-percentage`.
const UTILISATION: f64 = 0.7;
/// Requests that wait for a replica, as guides to KEDA beside vLLM write it.
const QUEUE: f64 = 5.0;
/// KubeAI's `targetRequests`, if a model doesn't say.
const TARGET_REQUESTS: f64 = 100.0;

/// A baseline with its knob; one without is turned as the project itself would.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Baseline {
    /// Always so many.
    Fixed(u32),
    /// Knative's autoscaler.
    Kpa(Option<f64>),
    /// A HorizontalPodAutoscaler on requests in flight.
    Hpa(Option<f64>),
    /// KEDA on the queue.
    Keda(Option<f64>),
    /// KubeAI's autoscaler.
    KubeAi(Option<f64>),
}

/// Why a word names no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownBaseline {
    /// There is none of this name.
    #[error("`{0}` is no policy: write one of {names}", names = NAMES.join(", "))]
    Name(String),
    /// A target that can't be followed.
    #[error("`{0}` is no target: write a number above 0, such as kpa=22.4")]
    Target(String),
    /// A count that can't be followed.
    #[error("`{0}` is no count of replicas: write a whole number, such as fixed=4")]
    Count(String),
}

impl UnknownBaseline {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name(_) => "UnknownPolicy",
            Self::Target(_) => "InvalidTarget",
            Self::Count(_) => "InvalidCount",
        }
    }
}

/// The forms in which they are written.
const NAMES: [&str; 5] = [
    "kpa[=TARGET]",
    "hpa[=TARGET]",
    "keda[=TARGET]",
    "kubeai[=TARGET]",
    "fixed=COUNT",
];

impl Baseline {
    /// The policy, for replicas that compute so many requests at a time.
    #[must_use]
    pub fn policy(self, max_batch: u32) -> Box<dyn Policy> {
        let busy = UTILISATION * f64::from(max_batch);
        match self {
            Self::Fixed(count) => Box::new(Fixed(count)),
            Self::Kpa(target) => Box::new(Kpa::new(target.unwrap_or(busy))),
            Self::Hpa(target) => Box::new(Hpa::new(target.unwrap_or(busy))),
            Self::Keda(target) => Box::new(Keda::new(target.unwrap_or(QUEUE))),
            Self::KubeAi(target) => Box::new(KubeAi::new(target.unwrap_or(TARGET_REQUESTS))),
        }
    }
}

impl Display for Baseline {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let (name, target) = match self {
            Self::Fixed(count) => return write!(formatter, "fixed={count}"),
            Self::Kpa(target) => ("kpa", target),
            Self::Hpa(target) => ("hpa", target),
            Self::Keda(target) => ("keda", target),
            Self::KubeAi(target) => ("kubeai", target),
        };
        match target {
            Some(target) => write!(formatter, "{name}={target}"),
            None => formatter.write_str(name),
        }
    }
}

impl FromStr for Baseline {
    type Err = UnknownBaseline;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, knob) = match text.split_once('=') {
            Some((name, knob)) => (name, Some(knob)),
            None => (text, None),
        };
        let target = || knob.map(target).transpose();
        Ok(match name {
            "kpa" => Self::Kpa(target()?),
            "hpa" => Self::Hpa(target()?),
            "keda" => Self::Keda(target()?),
            "kubeai" => Self::KubeAi(target()?),
            "fixed" => {
                let count = knob.unwrap_or_default();
                let parsed = count.parse().ok();
                Self::Fixed(parsed.ok_or_else(|| UnknownBaseline::Count(count.to_owned()))?)
            }
            _ => return Err(UnknownBaseline::Name(text.to_owned())),
        })
    }
}

fn target(text: &str) -> Result<f64, UnknownBaseline> {
    let target = text.parse().ok();
    let target = target.filter(|target: &f64| target.is_finite() && *target > 0.0);
    target.ok_or_else(|| UnknownBaseline::Target(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["kpa", "kpa=22.4", "hpa=8", "keda", "kubeai=12", "fixed=0"] {
            let baseline: Baseline = text.parse().expect(text);
            assert_eq!(baseline.to_string(), text);
        }
        for (text, reason, words) in [
            ("vpa", "UnknownPolicy", "kpa[=TARGET], hpa[=TARGET]"),
            ("", "UnknownPolicy", "`` is no policy"),
            ("kpa=", "InvalidTarget", "a number above 0"),
            ("hpa=-1", "InvalidTarget", "`-1`"),
            ("keda=inf", "InvalidTarget", "`inf`"),
            ("fixed", "InvalidCount", "such as fixed=4"),
            ("fixed=1.5", "InvalidCount", "`1.5`"),
        ] {
            let error = text.parse::<Baseline>().expect_err(text);
            assert_eq!(error.reason(), reason, "{text}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn without_a_knob_each_has_its_own_default() {
        let name = |text: &str| text.parse::<Baseline>().expect(text).policy(30).name();
        assert_eq!(name("kpa"), "kpa=21");
        assert_eq!(name("hpa"), "hpa=21");
        assert_eq!(name("keda"), "keda=5");
        assert_eq!(name("kubeai"), "kubeai=100");
        assert_eq!(name("kubeai=3"), "kubeai=3");
    }
}
