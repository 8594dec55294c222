//! Settings files with places to fill in, written as `@NAME@`.

use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// Fills every place in.
///
/// # Errors
/// When a place has no value, or a value no place.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        let place = format!("@{name}@");
        if !text.contains(&place) {
            bail!("the template has no {place}");
        }
        text = text.replace(&place, value);
    }
    if let Some(line) = text.lines().find(|line| has_place(line)) {
        bail!("no value for this line of a template: {line}");
    }
    Ok(text)
}

fn has_place(line: &str) -> bool {
    let parts: Vec<_> = line.split('@').collect();
    let names = parts.iter().skip(1).take(parts.len().saturating_sub(2));
    names.into_iter().any(|name| {
        !name.is_empty()
            && name
                .chars()
                .all(|sign| sign.is_ascii_uppercase() || sign == '_')
    })
}

/// Fills a template and writes the result.
///
/// # Errors
/// As [`fill`], or when the file can't be written.
pub(crate) fn write(path: &Path, template: &str, values: &[(&str, &str)]) -> Result<()> {
    let text = fill(template, values)?;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(fs::write(path, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_gets_its_value() {
        let filled = fill(
            "a: @ONE@, b: @TWO_MORE@\n",
            &[("ONE", "1"), ("TWO_MORE", "2")],
        );
        assert_eq!(filled.expect("filled"), "a: 1, b: 2\n");
        assert!(fill("a: @ONE@\n", &[]).is_err(), "no value");
        assert!(fill("a: 1\n", &[("ONE", "1")]).is_err(), "no place");
        assert!(fill("mail@example.com and @more\n", &[]).is_ok());
    }
}
