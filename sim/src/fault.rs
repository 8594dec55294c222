//! Faults: steps that are made to fail, a number of times or until further notice.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chandler_core::decide::Action;
use chandler_core::world::Failure;

/// A step that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Each is the action of its name.
pub enum Step {
    Resolve,
    Create,
    Scale,
    Mend,
    Probe,
    Evaluate,
    Traffic,
    Retire,
    /// A replica's start.
    Start,
    /// Looking at the world.
    Observe,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 10] = [
        Self::Resolve,
        Self::Create,
        Self::Scale,
        Self::Mend,
        Self::Probe,
        Self::Evaluate,
        Self::Traffic,
        Self::Retire,
        Self::Start,
        Self::Observe,
    ];

    /// The word for it in scripts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Create => "create",
            Self::Scale => "scale",
            Self::Mend => "mend",
            Self::Probe => "probe",
            Self::Evaluate => "evaluate",
            Self::Traffic => "traffic",
            Self::Retire => "retire",
            Self::Start => "start",
            Self::Observe => "observe",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Step {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = Self::ALL.into_iter().find(|step| step.as_str() == text);
        found.ok_or(())
    }
}

impl From<&Action> for Step {
    fn from(action: &Action) -> Self {
        match action {
            Action::Resolve { .. } => Self::Resolve,
            Action::EnsureRevision { .. } => Self::Create,
            Action::Scale { .. } => Self::Scale,
            Action::Mend { .. } => Self::Mend,
            Action::Probe { .. } => Self::Probe,
            Action::Evaluate { .. } => Self::Evaluate,
            Action::SetTraffic { .. } => Self::Traffic,
            Action::Retire { .. } => Self::Retire,
        }
    }
}

/// How a step fails and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is told.
    pub failure: Failure,
    /// How many times more; `None` for always.
    pub left: Option<u32>,
}

/// The faults of a world.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<Step, Fault>);

impl Faults {
    /// Makes a step fail, in place of what was said of it before.
    pub fn set(&mut self, step: Step, fault: Fault) {
        self.0.insert(step, fault);
    }

    /// Makes a step work again.
    pub fn clear(&mut self, step: Step) {
        self.0.remove(&step);
    }

    /// The failure of this try, if it fails; one try less is left.
    pub(crate) fn take(&mut self, step: Step) -> Option<Failure> {
        let fault = self.0.get_mut(&step)?;
        match &mut fault.left {
            None => {}
            Some(0) => return None,
            Some(left) => *left -= 1,
        }
        Some(fault.failure.clone())
    }
}
