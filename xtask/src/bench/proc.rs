//! What Linux tells of a process.

/// What Linux counts a process's time in, whatever the machine.
const TICKS_A_SECOND: f64 = 100.0;

/// A line of `/proc/PID/status` in KiB.
pub(super) fn size(status: &str, key: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The time of `/proc/PID/stat`, in the program and for it in the kernel.
pub(super) fn cpu_seconds(stat: &str) -> Option<f64> {
    let times = fields(stat)?.split_whitespace().skip(11);
    let mut times = times.map_while(|time| time.parse::<f64>().ok());
    Some((times.next()? + times.next()?) / TICKS_A_SECOND)
}

/// The parent's id of `/proc/PID/stat`.
pub(super) fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.split_whitespace().nth(1)?.parse().ok()
}

/// The fields from the third on: the second one is a name in parentheses, which may hold spaces and
/// parentheses.
fn fields(stat: &str) -> Option<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_from_their_fields() {
        let status = "Name:\tx\nVmHWM:\t    9 kB\nVmRSS:\t   12345 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(size(status, "VmRSS"), Some(12345));
        assert_eq!(size(status, "Rss"), None);
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 8 9 20 0 3 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(parent(stat), Some(1));
    }
}
