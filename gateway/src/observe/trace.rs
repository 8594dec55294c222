//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>, level 1): which trace a request
//! belongs to. Pure; randomness is an argument.

use http::HeaderMap;

use crate::headers::{TRACEPARENT, TRACESTATE};

/// Bytes of a `traceparent` of version 00: version, trace, span and flags, with three hyphens.
pub(super) const TRACEPARENT_LENGTH: usize = 55;
/// The one flag that level 1 knows.
const SAMPLED: u8 = 1;

/// The trace of a request, and the gateway's own span in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Never 0.
    pub(crate) id: u128,
    /// The caller's span, if it told one.
    pub(crate) parent: Option<u64>,
    /// The gateway's span; never 0.
    pub(crate) span: u64,
    /// Whether spans are kept: what the caller decided, or else this gateway.
    pub(crate) sampled: bool,
}

/// What a valid `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl Trace {
    /// The trace that `headers` tell, or a new one, of which `sample` says whether it is kept. A
    /// `tracestate` without a valid `traceparent` means nothing, and is removed.
    pub(crate) fn from_headers(
        headers: &mut HeaderMap,
        mut random: impl FnMut() -> u64,
        sample: impl FnOnce(u128) -> bool,
    ) -> Self {
        let span = not_zero(&mut random);
        if let Some(parent) = parent(headers) {
            return Self {
                id: parent.trace,
                parent: Some(parent.span),
                span,
                sampled: parent.sampled,
            };
        }
        headers.remove(&TRACESTATE);
        let id = u128::from(random()) << 64 | u128::from(not_zero(&mut random));
        Self {
            id,
            parent: None,
            span,
            sampled: sample(id),
        }
    }

    /// The `traceparent` of what is part of `span`.
    pub(crate) fn parent_of(&self, span: u64) -> [u8; TRACEPARENT_LENGTH] {
        let mut text = [b'-'; TRACEPARENT_LENGTH];
        write_hex(0, &mut text[..2]);
        write_hex(self.id, &mut text[3..35]);
        write_hex(span.into(), &mut text[36..52]);
        write_hex(self.sampled.into(), &mut text[53..]);
        text
    }
}

/// Writes the last digits of a number, as many as there is room for. Each request has several of
/// them, and the standard library's formatting takes ten times as long.
pub(super) fn write_hex(number: u128, digits: &mut [u8]) {
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
    }
}

/// A new span's id.
pub(crate) fn new_span() -> u64 {
    not_zero(&mut rand::random)
}

fn not_zero(random: &mut impl FnMut() -> u64) -> u64 {
    loop {
        let id = random();
        if id != 0 {
            return id;
        }
    }
}

/// The parent that the headers tell. Of several `traceparent`s none is to be believed.
fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// A later version may add to the end, after a hyphen; what version 00 has stays where it is.
fn parse(text: &[u8]) -> Option<Parent> {
    let version = hex(text.get(..2)?)?;
    let known = match version {
        0 => text.len() == TRACEPARENT_LENGTH,
        0xff => false,
        _ => text
            .get(TRACEPARENT_LENGTH)
            .is_none_or(|next| *next == b'-'),
    };
    let hyphens = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
    if !known || !hyphens {
        return None;
    }
    let trace = hex(text.get(3..35)?)?;
    let span = u64::try_from(hex(text.get(36..52)?)?).ok()?;
    let flags = u8::try_from(hex(text.get(53..55)?)?).ok()?;
    (trace != 0 && span != 0).then_some(Parent {
        trace,
        span,
        sampled: flags & SAMPLED != 0,
    })
}

/// Lower-case digits alone, as the standard has it.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    #[test]
    fn the_standards_own_examples() {
        let parsed = |text: &str| parse(text.as_bytes());
        let parent = |sampled| {
            Some(Parent {
                trace: TRACE,
                span: SPAN,
                sampled,
            })
        };
        #[rustfmt::skip]
        let cases = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", parent(true)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", parent(false)),
            // Flags that are not known say nothing.
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", parent(false)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", parent(true)),
            // A later version.
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", parent(true)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", parent(true)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            // Version 00 has no more fields.
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", None),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01", None),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("", None),
            ("0", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parsed(text), wanted, "{text}");
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    /// 0, 1, 2, …
    fn counting() -> impl FnMut() -> u64 {
        let mut next = 0;
        move || {
            next += 1;
            next - 1
        }
    }

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_parent_is_gone_on_from() {
        let mut got = headers(&[("traceparent", VALID), ("tracestate", "a=1")]);
        let trace = Trace::from_headers(&mut got, counting(), |_| false);
        let wanted = Trace {
            id: TRACE,
            parent: Some(SPAN),
            span: 1,
            sampled: true,
        };
        assert_eq!(trace, wanted);
        assert_eq!(got[&TRACESTATE], "a=1");
        let told = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00000000000000ab-01";
        assert_eq!(&trace.parent_of(0xab), told);
    }

    #[test]
    fn without_one_a_new_trace_begins_and_a_state_means_nothing() {
        for pairs in [
            &[("tracestate", "a=1")][..],
            &[("traceparent", "00-x"), ("tracestate", "a=1")],
            &[
                ("traceparent", VALID),
                ("traceparent", VALID),
                ("tracestate", "a=1"),
            ],
        ] {
            let mut got: HeaderMap = HeaderMap::new();
            for (name, value) in pairs {
                got.append(*name, HeaderValue::from_static(value));
            }
            let trace = Trace::from_headers(&mut got, counting(), |id| id == 2 << 64 | 3);
            let wanted = Trace {
                id: 2 << 64 | 3,
                parent: None,
                span: 1,
                sampled: true,
            };
            assert_eq!(trace, wanted, "{pairs:?}");
            assert!(!got.contains_key(&TRACESTATE), "{pairs:?}");
        }
    }
}
