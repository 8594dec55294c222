#![allow(clippy::unwrap_used)]

use super::*;

fn ask(body: &str) -> (u64, bool) {
    let ask = Ask::of(body.as_bytes(), true);
    assert_eq!(ask.prompt, u64::try_from(body.len().div_ceil(4)).unwrap());
    assert_eq!(ask.total(), ask.prompt + ask.answer);
    (ask.answer, ask.streams_without_usage)
}

#[test]
fn a_request_tells_what_it_may_use() {
    #[rustfmt::skip]
    let cases = [
        (r#"{"model":"m"}"#, 256, false),
        (r#"{"max_tokens":7}"#, 7, false),
        (r#"{"max_tokens":7,"max_completion_tokens":9,"n":3}"#, 27, false),
        (r#"{"max_tokens":null,"stream":true}"#, 256, true),
        (r#"{"max_tokens":"x","n":-1,"stream":1}"#, 256, false),
        (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, 256, false),
        (r#"{"stream":true,"stream_options":{"include_usage":false}}"#, 256, true),
        (r#"{"stream":true,"stream_options":null}"#, 256, true),
        (r#"{"max_tokens":18446744073709551615,"n":999}"#, u64::MAX - 11, false),
        ("no JSON", 0, false),
    ];
    for (body, answer, streams) in cases {
        let got = Ask::of(body.as_bytes(), true);
        let wanted = if answer > 1 << 60 { u64::MAX } else { answer };
        assert_eq!(
            (got.answer, got.streams_without_usage),
            (wanted, streams),
            "{body}"
        );
    }
    assert_eq!(ask(r#"{"model":"m"}"#), (256, false));
    let embedding = Ask::of(br#"{"input":"abc","max_tokens":5}"#, false);
    assert_eq!((embedding.answer, embedding.total()), (0, embedding.prompt));
}

#[test]
fn the_usage_is_asked_for_and_nothing_else_is_changed() {
    let asked =
        |body: &str| with_usage(body.as_bytes()).map(|b| String::from_utf8(b.to_vec()).unwrap());
    assert_eq!(
        asked(r#" {"n": 1.50,"stream":true}"#).unwrap(),
        r#"{"stream_options":{"include_usage":true},"n": 1.50,"stream":true}"#
    );
    for options in ["null", "{}", r#"{"include_usage":false}"#] {
        let body = format!(r#"{{"stream_options":{options},"stream":true}}"#);
        assert_eq!(
            asked(&body).unwrap(),
            r#"{"stream_options":{"include_usage":true},"stream":true}"#
        );
    }
    assert_eq!(
        asked(r#"{"stream_options":{"x":1}}"#).unwrap(),
        r#"{"stream_options":{"x":1,"include_usage":true}}"#
    );
    assert_eq!(asked(r#"{"stream_options":7}"#), None);
    assert_eq!(asked("[]"), None);
}

#[test]
fn a_whole_answer_tells_its_usage() {
    let usage = |prompt, answer| Some(Usage { prompt, answer });
    let cases = [
        (
            r#"{"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
            usage(3, 4),
        ),
        (
            r#"{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}"#,
            usage(3, 0),
        ),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":7}"#, None),
        (r#"{"error":{}}"#, None),
        ("oops", None),
    ];
    for (body, wanted) in cases {
        assert_eq!(of_answer(body.as_bytes()), wanted, "{body}");
    }
}

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;

fn chunk(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"text\":{text:?}}}],\"usage\":null}}\n\n")
}

fn passed(meter: &mut Meter, events: &str) -> String {
    let passed = meter.pass(Bytes::copy_from_slice(events.as_bytes()));
    String::from_utf8(passed.to_vec()).unwrap()
}

#[test]
fn the_usage_event_is_read_and_taken_out_where_it_was_not_asked_for() {
    let said = chunk("a") + &chunk(r#"\"usage\":{ "usage":{"#);
    let usage = format!("data: {USAGE}\n\n");
    let done = "data: [DONE]\n\n";
    let all = format!("{said}: ping\n\n{usage}{done}");
    for hides in [true, false] {
        let mut meter = Meter::new(hides);
        let left = passed(&mut meter, &all);
        let wanted = if hides {
            format!("{said}: ping\n\n{done}")
        } else {
            all.clone()
        };
        assert_eq!(left, wanted);
        assert_eq!(
            meter.usage(99),
            Some(Usage {
                prompt: 5,
                answer: 2
            })
        );
        assert_eq!(meter.events, 2);
    }
    let mut meter = Meter::new(true);
    assert_eq!(passed(&mut meter, &usage), "");
    assert_eq!(passed(&mut meter, &usage.replace('\n', "\r\n")), "");
    assert_eq!(passed(&mut meter, done), done);
}

#[test]
fn a_chunk_that_tells_the_usage_so_far_stays() {
    let mut meter = Meter::new(true);
    for answer in 1..4 {
        let event = format!(
            "data: {{\"choices\":[{{}}], \"usage\" : {{\"prompt_tokens\":1,\"completion_tokens\":{answer}}}}}\n\n"
        );
        assert_eq!(passed(&mut meter, &event), event);
        assert_eq!(meter.usage(9).unwrap().answer, answer);
    }
}

#[test]
fn without_a_usage_event_the_events_are_counted() {
    let mut meter = Meter::new(true);
    assert_eq!(meter.usage(9), None);
    let events = chunk("a") + ": ping\n\nevent: x\r\n\r\n" + &chunk("b") + "data: [DONE]\n\n";
    assert_eq!(passed(&mut meter, &events), events);
    let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    assert_eq!(passed(&mut meter, error), error);
    assert_eq!(
        meter.usage(9),
        Some(Usage {
            prompt: 9,
            answer: 2
        })
    );
}

#[test]
fn events_that_pass_are_not_copied() {
    let events = Bytes::from(chunk("a") + &chunk("b"));
    let passed = Meter::new(true).pass(events.clone());
    assert_eq!(passed.as_ptr(), events.as_ptr());
}
