use bytes::{Bytes, BytesMut};

/// Longest event, bytes. A replica that sends more without a blank line sends no events.
const MAX_EVENT: usize = 4 << 20;

/// Cuts a byte stream of server-sent events at the ends of events. Whole events pass at once;
/// the start of one is kept until its end comes. A client can't act on a part of an event anyway,
/// and so none is ever left with half of one when the replica dies.
#[derive(Debug)]
pub(crate) struct EventGate {
    part: BytesMut,
    done: bool,
    longest: usize,
}

impl Default for EventGate {
    fn default() -> Self {
        Self::with_longest(MAX_EVENT)
    }
}

/// An event is longer than 4 MiB.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it sent an event longer than {MAX_EVENT} bytes")]
pub(crate) struct EventTooLong;

impl EventGate {
    /// A gate that no event passes that is longer than so many bytes.
    pub(crate) fn with_longest(longest: usize) -> Self {
        Self {
            part: BytesMut::new(),
            done: false,
            longest,
        }
    }

    /// Takes what came, gives the events that are whole.
    pub(crate) fn push(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, EventTooLong> {
        let whole = if self.part.is_empty() {
            // The usual case: no copy of what is whole.
            let end = last_event_end(&bytes, 0);
            self.part.extend_from_slice(&bytes.split_off(end));
            bytes
        } else {
            // A blank line may have begun in the part that was kept.
            let from = self.part.len().saturating_sub(2);
            self.part.extend_from_slice(&bytes);
            let end = last_event_end(&self.part, from);
            self.part.split_to(end).freeze()
        };
        if self.part.len() > self.longest {
            return Err(EventTooLong);
        }
        self.done |= ends_with_done(&whole);
        Ok(Some(whole).filter(|whole| !whole.is_empty()))
    }

    /// What is left at an orderly end: a `[DONE]` that lacks its blank line. Of anything else
    /// nobody can say that it is whole.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        if !ends_with_done(&self.part) {
            return None;
        }
        self.done = true;
        self.part.extend_from_slice(b"\n\n");
        Some(self.part.split().freeze())
    }

    /// Whether `data: [DONE]` has passed.
    pub(crate) fn done(&self) -> bool {
        self.done
    }
}

/// The position behind the last blank line that ends after `from`; 0 when there is none.
fn last_event_end(bytes: &[u8], from: usize) -> usize {
    let blank: [&[u8]; 3] = [b"\n\n", b"\n\r\n", b"\r\r"];
    (from..=bytes.len())
        .rev()
        .find(|&end| blank.iter().any(|line| bytes[..end].ends_with(line)))
        .unwrap_or(0)
}

fn ends_with_done(events: &[u8]) -> bool {
    events
        .trim_ascii_end()
        .strip_suffix(b"[DONE]")
        .is_some_and(|before| before.trim_ascii_end().ends_with(b"data:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushes(pieces: &[&'static str]) -> (Vec<String>, EventGate) {
        let mut gate = EventGate::default();
        let mut got = Vec::new();
        for piece in pieces {
            let whole = gate.push(Bytes::from_static(piece.as_bytes()));
            got.extend(
                whole
                    .ok()
                    .flatten()
                    .map(|b| String::from_utf8_lossy(&b).into_owned()),
            );
        }
        (got, gate)
    }

    #[test]
    fn whole_events_pass_and_parts_wait() {
        #[rustfmt::skip]
        let cases: &[(&[&str], &[&str])] = &[
            (&["data: 1\n\n"], &["data: 1\n\n"]),
            (&["data: 1\n\ndata: 2\n\n"], &["data: 1\n\ndata: 2\n\n"]),
            (&["data: 1\n\ndata: 2"], &["data: 1\n\n"]),
            (&["data: 1", "\n", "\n", "data: 2\n\n"], &["data: 1\n\n", "data: 2\n\n"]),
            (&["data: 1\n", "\ndata: 2\n", "\n"], &["data: 1\n\n", "data: 2\n\n"]),
            (&["data: 1\r\n\r\n"], &["data: 1\r\n\r\n"]),
            (&["data: 1\r\n\r", "\n"], &["data: 1\r\n\r\n"]),
            (&["data: 1\r\n", "\r\nx"], &["data: 1\r\n\r\n"]),
            (&["data: 1\r\r"], &["data: 1\r\r"]),
            (&["data: 1\n", "id: 1\n"], &[]),
            (&[": ping\n\n"], &[": ping\n\n"]),
            (&["", "\n\n"], &["\n\n"]),
        ];
        for (pieces, wanted) in cases {
            assert_eq!(pushes(pieces).0, *wanted, "{pieces:?}");
        }
    }

    #[test]
    fn any_split_gives_the_same_bytes() {
        let text = "data: {\"a\":1}\n\n: ping\n\ndata: b\r\n\r\ndata: [DONE]\n\n";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let (got, gate) = pushes(&pieces);
                assert_eq!(got.concat(), text);
                assert!(gate.done(), "{pieces:?}");
            }
        }
    }

    #[test]
    fn done_is_an_event_and_not_a_word_in_one() {
        let done = |text| pushes(&[text]).1.done();
        assert!(done("data: [DONE]\n\n"));
        assert!(done("data:[DONE]\r\n\r\n"));
        assert!(done("data: 1\n\ndata: [DONE]\n\n"));
        assert!(!done("data: {\"text\":\"[DONE]\"}\n\n"));
        assert!(!done("data: say [DONE]\n\n"));
        assert!(!done("data: [DONE]"), "not whole yet");
    }

    #[test]
    fn an_ordered_end_gives_the_rest() {
        let mut gate = pushes(&["data: 1\n\ndata: [DONE]"]).1;
        assert_eq!(gate.finish(), Some(Bytes::from_static(b"data: [DONE]\n\n")));
        assert!(gate.done());
        assert_eq!(gate.finish(), None);
        let mut gate = pushes(&["data: 1\n\ndata: {\"half"]).1;
        assert_eq!((gate.finish(), gate.done()), (None, false));
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut gate = EventGate::default();
        let half = Bytes::from(vec![b'x'; MAX_EVENT / 2]);
        assert_eq!(gate.push(half.clone()), Ok(None));
        assert_eq!(gate.push(half.clone()), Ok(None));
        assert_eq!(gate.push(half), Err(EventTooLong));
    }
}
