//! How much memory this process may still take.

use std::fs;

const CGROUP: &str = "/sys/fs/cgroup";

/// Bytes that can be taken without swapping or being killed; `None` where the system does not
/// say.
pub(crate) fn available() -> Option<u64> {
    let system = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| field(&text, "MemAvailable:"))
        .and_then(|kib| kib.checked_mul(1024));
    match (system, group()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What the control group leaves, if it sets a limit. Clean file pages count as free: the kernel
/// drops them first.
fn group() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(format!("{CGROUP}/{name}")).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let clean = read("memory.stat")
        .and_then(|text| field(&text, "inactive_file"))
        .unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(clean)))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(char::is_whitespace))
    })?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "inactive_file_x 1\ninactive_file 4096\nMemAvailable:    12 kB\n";
        assert_eq!(field(text, "inactive_file"), Some(4096));
        assert_eq!(field(text, "MemAvailable:"), Some(12));
        assert_eq!(field(text, "absent"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available().is_some_and(|bytes| bytes > 0));
    }
}
