use std::time::Duration;

use chandler_core::traffic::affinity::key_of;
use chandler_crds::names::headers as names;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::errors::GatewayError;
use crate::headers::{REQUEST_TIMEOUT, REVISION, SESSION};

/// The longest time that may be asked for. Nobody waits longer, and sums of times can't overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a caller asks for by headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The revision that shall answer.
    pub(crate) revision: Option<String>,
    /// Requests of one session go to one revision, and to one replica if it is not too busy.
    pub(crate) session: Option<u64>,
    /// How long the caller waits for the whole answer.
    pub(crate) timeout: Option<Duration>,
}

impl Wishes {
    /// # Errors
    /// A header says nothing that could be meant.
    pub(super) fn parse(headers: &HeaderMap) -> Result<Self, GatewayError> {
        let text = |name: &'static HeaderName| {
            let value = headers.get(name);
            value.map(|value| text(name.as_str(), value)).transpose()
        };
        Ok(Self {
            revision: text(&REVISION)?.map(str::to_owned),
            session: text(&SESSION)?.map(|key| key_of(key.as_bytes())),
            timeout: text(&REQUEST_TIMEOUT)?.map(timeout).transpose()?,
        })
    }
}

fn text<'a>(name: &'static str, value: &'a HeaderValue) -> Result<&'a str, GatewayError> {
    let text = value.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() {
        let wanted = "printable ASCII, and not empty";
        return Err(GatewayError::BadHeader { name, wanted });
    }
    Ok(text)
}

/// Seconds as a decimal number. Too long is as long as may be.
fn timeout(text: &str) -> Result<Duration, GatewayError> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    seconds
        .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
        .map(|timeout| timeout.clamp(Duration::from_millis(1), LONGEST))
        .ok_or(GatewayError::BadHeader {
            name: names::REQUEST_TIMEOUT,
            wanted: "seconds as a number above 0, such as 30 or 1.5",
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wishes(name: &'static str, value: &[u8]) -> Result<Wishes, GatewayError> {
        let value = HeaderValue::from_bytes(value).unwrap();
        Wishes::parse(&HeaderMap::from_iter([(
            HeaderName::from_static(name),
            value,
        )]))
    }

    #[test]
    fn no_header_is_no_wish() {
        assert_eq!(Wishes::parse(&HeaderMap::new()), Ok(Wishes::default()));
    }

    #[test]
    fn a_timeout_is_seconds() {
        let of = |text: &str| wishes(names::REQUEST_TIMEOUT, text.as_bytes());
        for (text, wanted) in [
            ("30", Duration::from_secs(30)),
            (" 1.5 ", Duration::from_millis(1500)),
            ("1e-9", Duration::from_millis(1)),
            ("1e300", LONGEST),
            ("inf", LONGEST),
        ] {
            assert_eq!(of(text).unwrap().timeout, Some(wanted), "{text}");
        }
        for text in ["0", "-1", "soon", "30s", "", "NaN", "1,5"] {
            let error = of(text).unwrap_err();
            assert_eq!(error.reason(), "BadHeader", "{text}");
            assert!(error.to_string().contains("x-request-timeout"), "{error}");
        }
    }

    #[test]
    fn sessions_are_told_apart() {
        let of = |text: &[u8]| wishes(names::SESSION, text).map(|wishes| wishes.session);
        assert_eq!(of(b"a"), of(b" a "));
        assert_ne!(of(b"a"), of(b"b"));
        assert!(of(b"\xff").is_err() && of(b"").is_err());
    }

    #[test]
    fn a_revision_is_asked_for_by_name() {
        let asked = wishes(names::REVISION, b"0123456789").unwrap().revision;
        assert_eq!(asked.as_deref(), Some("0123456789"));
    }
}
