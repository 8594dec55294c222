use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::fmt_http_date;

/// Bytes of a date as HTTP has it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
const LENGTH: usize = 29;
const EPOCH: [u8; LENGTH] = *b"Thu, 01 Jan 1970 00:00:00 GMT";

/// The date of an answer that is given at `now`. Written anew once a second on each thread: to write
/// it takes longer than to read all of a request's head.
pub(super) fn date(now: SystemTime) -> [u8; LENGTH] {
    thread_local! {
        static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, EPOCH)) };
    }
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let (written, text) = LAST.get();
    if written == second {
        return text;
    }
    let text = fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    let text = text.as_bytes().try_into().unwrap_or(EPOCH);
    LAST.set((second, text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_date() {
        for (millis, wanted) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778_000, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            let now = UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(date(now), wanted.as_bytes());
        }
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(date(before), EPOCH);
    }
}
