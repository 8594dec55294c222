//! Numbers as a person reads them.

/// Five digits or fewer, without zeros at the end.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        1000.0.. => 1,
        100.0.. => 2,
        10.0.. => 3,
        _ => 4,
    };
    // The sum makes 0 of −0.
    let text = format!("{:.decimals$}", value + 0.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The same value with five digits, none of them beyond the sixth decimal, so that it is short in JSON.
pub(super) fn rounded(value: f64) -> f64 {
    let digits = if value.abs() < 1e-2 {
        format!("{value:.6}")
    } else {
        format!("{value:.4e}")
    };
    // The sum makes 0 of −0.
    let short = digits.parse().unwrap_or(value) + 0.0;
    // The greatest number would become infinite, which JSON cannot write.
    short.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_not_wrong() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.05, "0.05"),
            (-1.2345, "-1.2345"),
            (31.415_926, "31.416"),
            (100.0, "100"),
            (1234.56, "1234.6"),
            (0.000_012_3, "1.23e-5"),
            (2.5e9, "2.50e9"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(rounded(31.415_926_535), 31.416);
        assert_eq!(rounded(-0.001_234_567_89), -0.001_235);
        assert_eq!(rounded(-0.000_000_1).to_string(), "0");
        assert_eq!(rounded(f64::MAX), f64::MAX);
    }
}
