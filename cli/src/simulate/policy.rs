//! Policies as the command line names them.

use std::str::FromStr;

use chandler_sim::traffic::baselines::{Baseline, UnknownBaseline};

/// Name of what the manifest itself says.
pub(super) const OURS: &str = "chandler";

/// Who decides how many replicas there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PolicyName {
    /// Chandler, as the manifest says.
    Ours,
    /// Another project's rule.
    Baseline(Baseline),
}

impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == OURS => Ok(Self::Ours),
            Ok(baseline) => Ok(Self::Baseline(baseline)),
            Err(unknown @ UnknownBaseline::Name(_)) => Err(format!("{unknown}, or {OURS}")),
            Err(fault) => Err(fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_and_others_are_named() {
        assert_eq!("chandler".parse(), Ok(PolicyName::Ours));
        let hpa = PolicyName::Baseline(Baseline::Hpa(Some(8.0)));
        assert_eq!("hpa=8".parse(), Ok(hpa));
        let error = "vpa".parse::<PolicyName>().expect_err("unknown");
        assert!(error.ends_with("fixed=COUNT, or chandler"), "{error}");
        let error = "hpa=x".parse::<PolicyName>().expect_err("no target");
        assert!(error.starts_with("`x` is no target"), "{error}");
    }
}
