//! The licence of everything that is linked in must be one that lets others use the result.

use super::Finding;
use super::packages::array;
use serde_json::Value;

/// Licences that are welcome, by SPDX identifier.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that tell their licence in a file alone, which a person has read.
const READ_BY_HAND: &[(&str, &str)] = &[];

/// Checks every package that cargo knows of.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = array(&metadata["packages"]);
    packages
        .filter_map(|package| check_package(package, READ_BY_HAND))
        .collect()
}

fn check_package(package: &Value, read_by_hand: &[(&str, &str)]) -> Option<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let by_hand = read_by_hand
        .iter()
        .find(|(read, _)| *read == name)
        .map(|(_, licence)| *licence);
    let licence = package["license"].as_str().or(by_hand);
    let message = match licence {
        Some(licence) if is_allowed(licence) => return None,
        Some(licence) => format!("the licence {licence} is not on the list of xtask/src/tidy"),
        None => {
            "it tells no licence: read its licence file, then add it to READ_BY_HAND".to_owned()
        }
    };
    Some(Finding {
        place: format!("package {name}"),
        line: 0,
        message,
    })
}

/// Whether an SPDX expression can be met with allowed licences. The older `/` means OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = any_of(&mut rest);
    met && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut met = all_of(rest);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= all_of(rest);
    }
    met
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut met = one_of(rest);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= one_of(rest);
    }
    met
}

fn one_of(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = any_of(rest);
            let [")", tail @ ..] = *rest else {
                return false;
            };
            *rest = tail;
            met
        }
        [name, "WITH", exception, tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str()) || ALLOWED.contains(name)
        }
        [name, tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_are_met_or_not() {
        for met in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "MIT AND BSD-3-Clause",
        ] {
            assert!(is_allowed(met), "{met}");
        }
        for unmet in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "",
            "(MIT",
            "MIT Apache-2.0",
            "OR MIT",
        ] {
            assert!(!is_allowed(unmet), "{unmet}");
        }
    }

    #[test]
    fn packages_without_an_allowed_licence_are_told() {
        let metadata = json!({"packages": [
            {"name": "good", "license": "MIT"},
            {"name": "bad", "license": "GPL-3.0-only"},
            {"name": "silent", "license": null},
        ]});
        let places: Vec<_> = check(&metadata)
            .into_iter()
            .map(|finding| finding.place)
            .collect();
        assert_eq!(places, ["package bad", "package silent"]);
    }

    #[test]
    fn a_licence_read_by_hand_counts() {
        let package = json!({"name": "silent", "license": null});
        assert_eq!(check_package(&package, &[("silent", "MIT")]), None);
    }
}
