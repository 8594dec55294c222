//! What a script's author is told about a line that can't be followed.

use chandler_sim::script::play;

const DEPLOY: &str = "apply\n  model: {source: \"file:///models/a\"}\n";

/// What is told of `text`, and the word for it.
fn told(text: &str) -> (String, &'static str) {
    let error = play("some.script", text).expect_err(text);
    (error.to_string(), error.problem.reason())
}

#[test]
fn bad_lines_are_told_with_their_place_and_what_to_write() {
    let cases = [
        (
            "advence 1s",
            "UnknownCommand",
            "write one of apply, set PATH VALUE",
        ),
        ("advance", "WrongUsage", "write `advance LENGTH`"),
        (
            "advance soon",
            "InvalidLength",
            "`soon` is no length of time",
        ),
        ("advance -5s", "InvalidLength", "write one such as 10s"),
        ("crash r0", "InvalidRevisionName", "write `current` or r1"),
        ("crash r1 many", "InvalidCount", "`many` is no count"),
        (
            "requests current 3 20s",
            "WrongUsage",
            "requests REVISION COUNT for LENGTH",
        ),
        (
            "probe fails 1",
            "WrongUsage",
            "STEP fails COUNT times|always",
        ),
        (
            "dance fails 1 times",
            "UnknownStep",
            "write one of resolve, create",
        ),
        (
            "slow r1 never",
            "InvalidNumber",
            "no number from 0.01 to 100",
        ),
        ("errors r1 2", "InvalidNumber", "no number from 0 to 1"),
        (
            "operator sleeps",
            "WrongUsage",
            "operator dies before|after action COUNT",
        ),
        ("in-flight maybe", "WrongUsage", "in-flight known|unknown"),
        (
            "gateways ajar",
            "WrongUsage",
            "gateways open|keyed|silent|none",
        ),
        ("arrive 3", "WrongUsage", "arrive COUNT for LENGTH"),
        (
            "load 2/s of 500",
            "WrongUsage",
            "load none|RATE/s of PROMPT and GENERATED",
        ),
        (
            "load 0/s of 500 and 100",
            "InvalidRate",
            "`0/s` is no rate: write one from 0.001/s",
        ),
        (
            "scrapes few",
            "WrongUsage",
            "scrapes told|lost|lost REVISION COUNT",
        ),
        ("clock 1h ahead", "WrongUsage", "clock LENGTH forward|back"),
        ("apply", "WrongUsage", "the spec below, indented"),
        ("apply\n  a: [", "InvalidYaml", "not YAML"),
        ("status\n  more", "IndentedLine", "only `apply` is followed"),
    ];
    for (line, reason, hint) in cases {
        let (message, word) = told(&format!("# A comment.\n\n{line}"));
        assert!(message.starts_with("some.script:3: "), "{message}");
        assert!(message.contains(hint), "{message}");
        assert_eq!(word, reason, "{message}");
    }
}

#[test]
fn lines_that_come_too_soon_are_told_too() {
    let cases = [
        ("set replicas 2", "NoModel"),
        ("remove", "NoModel"),
        ("crash current", "NoSuchRevision"),
        ("requests r1 1 for 1s", "NoSuchRevision"),
        ("scrapes lost r1 1", "NoSuchRevision"),
        ("arrive 1 for 1s", "NoGateway"),
    ];
    for (line, reason) in cases {
        let (message, word) = told(line);
        assert!(message.starts_with("some.script:1: "), "{message}");
        assert_eq!(word, reason, "{message}");
    }
    for (line, reason) in [
        ("crash r1", "RevisionNotReady"),
        ("requests r1 1 for 1s", "RevisionNotReady"),
        ("scrapes lost r1 1", "RevisionNotReady"),
        ("set replicas.most 2", "InvalidPath"),
    ] {
        let (message, word) = told(&format!("{DEPLOY}  replicas: 1\n{line}"));
        assert!(message.starts_with("some.script:4: "), "{message}");
        assert_eq!(word, reason, "{message}");
    }
}
