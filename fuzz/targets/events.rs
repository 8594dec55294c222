//! Sends a stream of events through the gate in pieces. The first byte is the number of pieces whose
//! lengths the next bytes are; the rest is the stream, and what is left of it the last piece.
//!
//! What is asserted: the bytes that come out are those that went in; however the stream is cut, at no
//! time is a part of an event let out or a whole one kept, nor more than the longest event; `[DONE]`
//! is seen.

#![no_main]

mod cut;

use bytes::Bytes;
use chandler_gateway::fuzzing::Events;
use cut::pieces;
use libfuzzer_sys::{Corpus, fuzz_target};

/// Longest event. It is short so that longer ones are tried as well.
const LONGEST: usize = 64;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((&cuts, rest)) = input.split_first() else {
        return Corpus::Reject;
    };
    let Some((lengths, stream)) = rest.split_at_checked(usize::from(cuts)) else {
        return Corpus::Reject;
    };
    let mut gate = Events::with_longest(LONGEST);
    let mut out = Vec::new();
    let mut taken = 0;
    for piece in pieces(lengths, stream) {
        taken += piece.len();
        let Ok(events) = gate.push(Bytes::copy_from_slice(piece)) else {
            assert!(taken - out.len() > LONGEST, "no event is too long yet");
            return Corpus::Keep;
        };
        out.extend_from_slice(&events);
        check(&out, &stream[..taken]);
    }
    assert_eq!(taken, stream.len());
    if ends_with_done(whole_events(stream)) {
        assert!(gate.done());
    }
    finish(gate, &stream[out.len()..]);
    Corpus::Keep
});

/// What was let out of what was taken. Line ends behind a blank line are of no event: they may be let
/// out with it or be kept.
fn check(out: &[u8], taken: &[u8]) {
    let whole = whole_events(taken);
    assert!(whole.starts_with(out), "after {} bytes", taken.len());
    assert_eq!(whole_events(out), out, "no part of an event is let out");
    let held = &whole[out.len()..];
    assert!(
        held.iter().all(|byte| b"\r\n".contains(byte)),
        "a whole event is kept"
    );
    assert!(taken.len() - out.len() <= LONGEST, "too much is kept");
}

/// All up to the end of the last blank line.
fn whole_events(stream: &[u8]) -> &[u8] {
    let ends = [&b"\n\n"[..], b"\n\r\n", b"\r\r"].map(|line| {
        let mut starts = stream.windows(line.len());
        let last = starts.rposition(|window| window == line);
        last.map_or(0, |start| start + line.len())
    });
    &stream[..ends.into_iter().max().unwrap_or(0)]
}

/// Whether the last event is `data: [DONE]`, and nothing else.
fn ends_with_done(whole: &[u8]) -> bool {
    whole.ends_with(b"\n\ndata: [DONE]\n\n") || whole == b"data: [DONE]\n\n"
}

/// At an orderly end only `[DONE]` may come of a part of an event.
fn finish(mut gate: Events, part: &[u8]) {
    let last = gate.finish();
    if last.is_empty() {
        return;
    }
    assert_eq!(last, [part, b"\n\n"].concat());
    assert!(gate.done());
    assert!(last.trim_ascii_end().ends_with(b"[DONE]"));
    assert_eq!(gate.finish(), Bytes::new());
}
