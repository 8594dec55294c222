//! Reads a connection's messages. The first byte says who writes them, the second is the number of
//! pieces whose lengths the next bytes are; the rest is what is written, and what is left of it the
//! last piece.
//!
//! What is asserted: however a connection is cut, the same messages come of it and the same end; and
//! a message that is written anew is read as the same one, with nothing behind it.

#![no_main]

mod cut;

use chandler_gateway::fuzzing::{Message, Writer, messages};
use cut::pieces;
use http::header;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    let &[writer, cuts, ref rest @ ..] = input else {
        return Corpus::Reject;
    };
    let Some((lengths, bytes)) = rest.split_at_checked(usize::from(cuts)) else {
        return Corpus::Reject;
    };
    let writer = match writer % 2 {
        0 => Writer::Caller,
        _ => Writer::Replica,
    };
    let whole = messages(writer, [bytes]);
    assert_eq!(messages(writer, pieces(lengths, bytes)), whole);
    for message in whole.0 {
        written_anew(writer, message);
    }
    Corpus::Keep
});

/// Most fields of a message that another one may be added to.
const MOST_FIELDS: usize = 99;

/// The length is told anew, as the gateway does.
fn written_anew(writer: Writer, mut message: Message) {
    let without_body = matches!(message.line.as_str(), "204" | "304")
        || matches!(writer, Writer::Replica) && message.line.starts_with('1');
    message.fields.remove(header::TRANSFER_ENCODING);
    message.fields.remove(header::CONTENT_LENGTH);
    if message.fields.len() > MOST_FIELDS {
        return;
    }
    let (mut again, end) = messages(writer, [&message.written(writer)[..]]);
    assert_eq!(end, None);
    assert_eq!(again.len(), 1, "{message:?}");
    let mut again = again.remove(0);
    assert!(!without_body || again.body.is_empty());
    assert!(again.fields.remove(header::CONTENT_LENGTH).is_some());
    assert_eq!(again, message);
}
