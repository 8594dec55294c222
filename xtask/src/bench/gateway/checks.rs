//! What must hold whatever the peers do.

use serde::Serialize;
use std::fmt::Write;

/// Something measured, and the most that it may be.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) bound: f64,
    pub(super) unit: &'static str,
    /// What was done to measure it.
    pub(super) of: String,
}

impl Check {
    pub(super) fn is_met(&self) -> bool {
        self.value <= self.bound
    }
}

/// The checks as an aligned table.
pub(super) fn table(checks: &[Check]) -> String {
    let mut text = format!(
        "{:<24} {:>9} {:>9} {:<12} {:<6}  {}\n",
        "name", "ours", "at most", "unit", "", "of"
    );
    for check in checks {
        let met = if check.is_met() { "met" } else { "MISSED" };
        let Check {
            name,
            value,
            bound,
            unit,
            of,
        } = check;
        let _ = writeln!(
            text,
            "{name:<24} {value:>9.1} {bound:>9.1} {unit:<12} {met:<6}  {of}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_met_up_to_its_bound() {
        let check = |value| Check {
            name: "x",
            value,
            bound: 2.0,
            unit: "MiB",
            of: String::new(),
        };
        assert!(check(2.0).is_met());
        assert!(!check(2.1).is_met());
        assert!(!check(f64::NAN).is_met());
        let text = table(&[check(1.0), check(3.0)]);
        assert!(text.contains(" met ") && text.contains("MISSED"), "{text}");
    }
}
