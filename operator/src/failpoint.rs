//! Ends the process at a chosen boundary, so that tests of faults kill it exactly there.

use std::fmt;
use std::str::FromStr;

use chandler_crds::names::env;

/// Exit code of a process that a failpoint ended.
pub const EXIT_CODE: u8 = 70;
/// The boundary around writing the status, beside those of [`ACTIONS`].
pub const PUBLISH: &str = "PublishStatus";
/// Actions, by `Action::name`.
pub const ACTIONS: [&str; 7] = [
    "Resolve",
    "EnsureRevision",
    "Scale",
    "Mend",
    "Probe",
    "SetTraffic",
    "Retire",
];

/// Which side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Nothing of it was done.
    Before,
    /// It was tried, and nobody knows yet.
    After,
}

/// A boundary, such as `after:SetTraffic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failpoint {
    side: Side,
    step: String,
}

/// A failpoint that can't be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no failpoint: write before:STEP or after:STEP, with STEP one of {steps}", steps = steps())]
pub struct UnknownFailpoint(String);

fn steps() -> String {
    let mut steps = ACTIONS.join(", ");
    steps.push_str(", ");
    steps.push_str(PUBLISH);
    steps
}

impl FromStr for Failpoint {
    type Err = UnknownFailpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownFailpoint(text.to_owned());
        let (side, step) = text.split_once(':').ok_or_else(unknown)?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return Err(unknown()),
        };
        if step != PUBLISH && !ACTIONS.contains(&step) {
            return Err(unknown());
        }
        Ok(Self {
            side,
            step: step.to_owned(),
        })
    }
}

impl fmt::Display for Failpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{side}:{}", self.step)
    }
}

/// Where the process ends, if anywhere, and how.
#[derive(Clone, Debug)]
pub struct Failpoints {
    point: Option<Failpoint>,
    end: fn() -> !,
}

impl Failpoints {
    /// Ends the process at `point`.
    #[must_use]
    pub fn new(point: Option<Failpoint>) -> Self {
        Self::ending(point, || std::process::exit(i32::from(EXIT_CODE)))
    }

    /// Ends by `end` at `point`.
    #[must_use]
    pub fn ending(point: Option<Failpoint>, end: fn() -> !) -> Self {
        Self { point, end }
    }

    pub(crate) fn pass(&self, side: Side, step: &str) {
        if let Some(point) = &self.point
            && point.side == side
            && point.step == step
        {
            tracing::error!(failpoint = %point, variable = env::FAILPOINT, "ending here, as asked");
            (self.end)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_parsed() {
        for text in ["before:Resolve", "after:SetTraffic", "before:PublishStatus"] {
            let point: Failpoint = text.parse().expect(text);
            assert_eq!(point.to_string(), text);
        }
    }

    #[test]
    fn others_are_refused_with_what_to_write() {
        for text in [
            "",
            "SetTraffic",
            "during:Resolve",
            "after:",
            "after:setTraffic",
            "before:Publish",
        ] {
            let error = text.parse::<Failpoint>().expect_err(text).to_string();
            assert!(error.contains("before:STEP or after:STEP"), "{error}");
            assert!(
                error.contains("Retire") && error.contains(PUBLISH),
                "{error}"
            );
        }
    }

    #[test]
    fn only_its_own_side_of_its_own_step_ends() {
        let point = "after:Scale".parse().expect("a failpoint");
        let points = Failpoints::ending(Some(point), || panic!("ended"));
        points.pass(Side::Before, "Scale");
        points.pass(Side::After, "Probe");
        let ended = std::panic::catch_unwind(|| points.pass(Side::After, "Scale"));
        assert!(ended.is_err());
    }
}
