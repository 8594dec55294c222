//! How much memory this process may still take, and whether requests are to wait for more.

mod group;
mod watch;

use std::fs;
use std::path::Path;

pub use watch::{MemoryLow, MemoryWatch};

/// What the process holds beside weights, cache and requests: code, threads and their stacks, the HTTP side,
/// and what allocators keep. Measured with a vocabulary of 49,152 tokens: 38 MiB at rest for both, of which
/// half as much again is planned.
pub(crate) const PROCESS: u64 = 32 << 20;

/// What nothing is to take: below it requests wait. Enough for what a moment's requests bring before the next
/// look at what is left.
pub(crate) const RESERVE: u64 = 24 << 20;

/// Bytes that can be taken without swapping or being killed: what the machine has, or what the control
/// groups leave where that is less. `None` where the system does not say.
pub(crate) fn available() -> Option<u64> {
    available_below(Path::new("/"))
}

/// The same, as the files below `root` tell it.
fn available_below(root: &Path) -> Option<u64> {
    let system = fs::read_to_string(root.join("proc/meminfo"))
        .ok()
        .and_then(|text| field(&text, "MemAvailable:"))
        .and_then(|kib| kib.checked_mul(1024));
    match (system, group::available(root)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Bytes that this process holds already and could not give back; `None` where the system does not say.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    field(&status, "RssAnon:")?.checked_mul(1024)
}

/// The number after a name that begins a line.
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
        assert!(resident().is_some_and(|bytes| bytes > 0));
    }
}
