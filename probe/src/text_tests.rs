#![allow(clippy::unwrap_used)]

use prometheus::{GaugeVec, Histogram, HistogramOpts, Opts, Registry, TextEncoder};
use proptest::prelude::*;

use super::*;

fn one(line: &str) -> Sample {
    let mut all = samples(line).unwrap();
    assert_eq!(all.len(), 1, "{line}");
    all.remove(0)
}

fn fault(line: &str) -> Fault {
    samples(line).unwrap_err().fault
}

#[test]
fn a_line_is_read_with_its_labels_and_whatever_is_between_them() {
    for line in [
        r#"up{model="a/b",code="200"} 1.5"#,
        "  up\t{ model = \"a/b\" ,\tcode=\"200\" , }   1.5  ",
        r#"up{model="a/b",code="200"} 1.5 1700000000123"#,
        r#"up{model="a/b",code="200"} 15e-1 -1"#,
        "up{model=\"a/b\",code=\"200\"} 1.5\r\n",
    ] {
        let sample = one(line);
        assert_eq!(sample.name, "up", "{line}");
        assert_eq!(sample.label("model"), Some("a/b"), "{line}");
        assert_eq!(sample.label("code"), Some("200"), "{line}");
        assert_eq!(sample.label("other"), None, "{line}");
        assert_eq!(sample.value, 1.5, "{line}");
    }
    assert_eq!(one("vllm:x_1 0").name, "vllm:x_1");
    assert!(one("x{} 0").labels.is_empty());
}

#[test]
fn escapes_stand_for_what_they_stand_for() {
    let sample = one(r#"x{a="a\\b\"c\nd",b="ü},{ #="} 1"#);
    assert_eq!(sample.label("a"), Some("a\\b\"c\nd"));
    assert_eq!(sample.label("b"), Some("ü},{ #="));
}

#[test]
fn values_may_be_no_numbers_or_without_end() {
    assert!(one("x NaN").value.is_nan());
    assert_eq!(one("x +Inf").value, f64::INFINITY);
    assert_eq!(one("x -Inf").value, f64::NEG_INFINITY);
}

#[test]
fn what_is_no_sample_is_passed_over() {
    let text = "# HELP x What {it} is.\n# TYPE x counter\n\n   # any comment\n\t\nx 1\n#\nx 2";
    let values: Vec<f64> = samples(text).unwrap().iter().map(|it| it.value).collect();
    assert_eq!(values, [1.0, 2.0]);
    assert!(samples("").unwrap().is_empty());
}

#[test]
fn a_histogram_is_its_lines() {
    let opts = HistogramOpts::new("h", "Seconds.").buckets(vec![0.5]);
    let histogram = Histogram::with_opts(opts).unwrap();
    histogram.observe(0.25);
    histogram.observe(4.0);
    let told: Vec<(String, Option<String>, f64)> = samples(&rendered(Box::new(histogram)))
        .unwrap()
        .into_iter()
        .map(|it| (it.name.clone(), it.label("le").map(str::to_owned), it.value))
        .collect();
    let bucket = |le: &str, value| ("h_bucket".to_owned(), Some(le.to_owned()), value);
    assert_eq!(
        told,
        [
            bucket("0.5", 1.0),
            bucket("+Inf", 2.0),
            ("h_sum".to_owned(), None, 4.25),
            ("h_count".to_owned(), None, 2.0),
        ]
    );
}

#[test]
fn a_malformed_line_is_told_by_its_number() {
    let error = samples("# HELP x X.\nx 1\n\nx{a=\"b} 1\nx").unwrap_err();
    assert_eq!((error.line, error.fault), (4, Fault::Labels));
    assert_eq!(
        error.to_string(),
        "line 4 of the metrics has labels that can't be read"
    );
    for (line, expected) in [
        ("{a=\"b\"} 1", Fault::Name),
        ("1x 1", Fault::Name),
        ("x.5 1", Fault::Name),
        ("<html>", Fault::Name),
        ("x{a=\"b\\t\"} 1", Fault::Labels),
        ("x{a=b} 1", Fault::Labels),
        ("x{a:b=\"c\"} 1", Fault::Labels),
        ("x{a=\"b\" c=\"d\"} 1", Fault::Labels),
        ("x{a=\"b\"", Fault::Labels),
        ("x{,} 1", Fault::Labels),
        ("x", Fault::Value),
        ("x one", Fault::Value),
        ("x{a=\"b\"}", Fault::Value),
        ("x 1 now", Fault::Timestamp),
        ("x 1 2 3", Fault::Rest),
    ] {
        assert_eq!(fault(line), expected, "{line}");
    }
}

#[test]
fn a_long_text_is_read_to_its_end() {
    let long = "v".repeat(100_000);
    let lines = (0..20_000).map(|n| format!("x{{n=\"{n}\"}} {n}\n"));
    let text: String = lines.chain([format!("y{{long=\"{long}\"}} 1")]).collect();
    let told = samples(&text).unwrap();
    assert_eq!(told.len(), 20_001);
    assert_eq!(told[19_999].label("n"), Some("19999"));
    assert_eq!(told[20_000].label("long"), Some(long.as_str()));
}

fn rendered(collector: Box<dyn prometheus::core::Collector>) -> String {
    let registry = Registry::new();
    registry.register(collector).unwrap();
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap()
}

proptest! {
    #[test]
    fn what_the_programs_write_is_read_as_it_was(
        help in any::<String>(),
        labels in any::<[String; 2]>(),
        value in any::<f64>(),
    ) {
        // The encoder writes what it is given; a metric without a help is none of ours.
        let opts = Opts::new("chandler:x", format!("X{help}"));
        let gauges = GaugeVec::new(opts, &["a", "b"]).unwrap();
        gauges.with_label_values(&labels).set(value);
        let sample = one(&rendered(Box::new(gauges)));
        prop_assert_eq!(&sample.name, "chandler:x");
        prop_assert_eq!(sample.label("a"), Some(labels[0].as_str()));
        prop_assert_eq!(sample.label("b"), Some(labels[1].as_str()));
        prop_assert!(sample.value == value || sample.value.is_nan() && value.is_nan());
    }

    #[test]
    fn no_text_is_too_odd(text in r#"([a-z:{}=", \\\n\t#0-9.+-]|\PC){0,64}"#) {
        let lines = text.lines().count();
        match samples(&text) {
            Ok(told) => prop_assert!(told.len() <= lines),
            Err(error) => prop_assert!((1..=lines).contains(&error.line)),
        }
    }
}
