//! Reads requests: headers, one a line, then a blank line and the body. The first byte is the length
//! of the pieces that the body comes in.
//!
//! What is asserted: however the body is cut, the same comes of it; what is let in names a model, is
//! passed on byte for byte, and without headers that speak of one connection; a request for a model
//! that the replica calls otherwise differs in nothing else; what is refused gets an error object of
//! the OpenAI API.

#![no_main]

use std::cell::OnceCell;

use bytes::Bytes;
use chandler_gateway::fuzzing::{LetIn, read};
use chandler_gateway::{GatewayError, OpenAiError};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Longest body that is let in. It is short so that longer ones are tried as well.
const BODY_LIMIT: usize = 2048;
/// A name that no replica of the caller's model has.
const OTHER_NAME: &str = "a \"served\" name";
/// Headers of one connection, and those that the gateway sets anew.
const KEPT_BACK: [&str; 5] = [
    "connection",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
];

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((piece, request)) = input.split_first() else {
        return Corpus::Reject;
    };
    let (headers, body) = split(request);
    let whole = wait_for(headers.clone(), vec![body.clone()]);
    let cut = wait_for(headers.clone(), pieces(&body, usize::from(*piece)));
    match (whole, cut) {
        (Ok(whole), Ok(cut)) => {
            assert_eq!(whole.model(), cut.model());
            assert_eq!(whole.body_for(whole.model()), cut.body_for(cut.model()));
            check_let_in(&whole, &headers, &body);
        }
        (Err(whole), Err(cut)) => {
            assert_eq!(whole, cut);
            check_refused(&whole, &headers, &body);
        }
        (whole, cut) => panic!("whole: {whole:?}, cut: {cut:?}"),
    }
    Corpus::Keep
});

fn wait_for(headers: HeaderMap, pieces: Vec<Bytes>) -> Result<LetIn, GatewayError> {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let begin = || Builder::new_current_thread().enable_time().build();
        let runtime = runtime.get_or_init(|| begin().expect("a runtime"));
        runtime.block_on(read(headers, pieces, BODY_LIMIT))
    })
}

fn split(request: &[u8]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut rest = request;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(halves.next().unwrap_or_default());
        let value = HeaderValue::from_bytes(halves.next().unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(rest))
}

fn pieces(body: &Bytes, length: usize) -> Vec<Bytes> {
    let pieces = body.chunks(length.max(1));
    let mut pieces: Vec<_> = pieces.map(|piece| body.slice_ref(piece)).collect();
    // Never one alone, which would tell its length ahead.
    pieces.push(Bytes::new());
    pieces.push(Bytes::new());
    pieces
}

fn check_let_in(call: &LetIn, headers: &HeaderMap, body: &Bytes) {
    assert!(body.len() <= BODY_LIMIT);
    assert_eq!(call.body_for(call.model()), body, "passed on byte for byte");
    for name in KEPT_BACK {
        assert!(!call.headers().contains_key(name), "{name} was passed on");
    }
    for value in headers.get_all("connection") {
        for name in value.to_str().unwrap_or_default().split(',') {
            if let Ok(name) = name.trim().parse::<HeaderName>() {
                assert!(!call.headers().contains_key(name));
            }
        }
    }
    // What is deeply nested, for one, is the replica's to judge.
    let Ok(mut fields) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    assert_eq!(fields["model"], call.model());
    fields["model"] = OTHER_NAME.into();
    let renamed = call.body_for(OTHER_NAME);
    let renamed: Value = serde_json::from_slice(&renamed).expect("JSON as before");
    assert_eq!(renamed, fields);
}

fn check_refused(error: &GatewayError, headers: &HeaderMap, body: &[u8]) {
    assert!(error.status().is_client_error());
    let told: Value = serde_json::from_slice(&OpenAiError::from(error).to_json()).expect("JSON");
    let told = &told["error"];
    assert!(
        told["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(told["type"], "invalid_request_error");
    // What isn't parsed so, such as a number beyond all bounds, is let in, or refused for its model.
    let fields = serde_json::from_slice::<Value>(body).ok();
    let model = fields.as_ref().map(|fields| &fields["model"]);
    match error {
        GatewayError::BadHeader { name, .. } => assert!(headers.contains_key(*name)),
        GatewayError::BodyTooLarge { limit } => assert!(body.len() > *limit),
        GatewayError::NotAnObject => assert!(!body.trim_ascii_start().starts_with(b"{")),
        GatewayError::ModelMissing => assert!(model.is_none_or(Value::is_null)),
        GatewayError::ModelNotString(_) => assert!(model.is_none_or(|model| !model.is_string())),
        // Valid JSON may still name the model twice.
        GatewayError::InvalidJson(_) => {}
        other => panic!("{other:?} can't come of a body that is whole"),
    }
}
