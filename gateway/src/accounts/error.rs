use std::time::Duration;

use chandler_core::traffic::limit::{Bound, Refused, Remaining};
use http::{HeaderMap, StatusCode};

use super::rate;

/// When to come back to a gateway that has not read its keys yet, and to a saturated model.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_SATURATED: Duration = Duration::from_secs(5);

/// Why a caller is not let in, or not now. Nothing here holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No key was sent.
    #[error(
        "This gateway wants an API key and none was sent. Send the header \"Authorization: Bearer KEY\"; \
         whoever runs the gateway makes keys with `chandler keys create NAME`."
    )]
    KeyMissing,
    /// The key is none of those configured.
    #[error(
        "The API key is not valid here, or not any more. Send another as \"Authorization: Bearer KEY\"; \
         whoever runs the gateway makes keys with `chandler keys create NAME`."
    )]
    KeyUnknown,
    /// The keys are not known yet.
    #[error("The gateway has not read its API keys yet. Send the request again.")]
    KeysNotRead,
    /// A limit of the account.
    #[error("{}", limited(.0))]
    Limited(Box<Refused>),
    /// The model is saturated, and too many requests wait, or this one has for too long.
    #[error(
        "All replicas of \"{model}\" are busy and {}. Send the request again later.",
        .waited.map_or("too many requests wait already".into(), |waited| format!("none was free within {} s", waited.as_secs()))
    )]
    Saturated {
        /// As the caller wrote it.
        model: String,
        /// How long it waited, if it did.
        waited: Option<Duration>,
    },
}

fn limited(refused: &Refused) -> String {
    let limit = refused.limit;
    let advice = "Send the request again after the time that Retry-After tells.";
    match (refused.which, refused.retry_after) {
        (Bound::Requests, _) => {
            format!("The limit of {limit} requests a minute for this key is reached. {advice}")
        }
        (Bound::Tokens, Some(_)) => format!(
            "The limit of {limit} tokens a minute for this key is reached: the request may take {}. {advice}",
            refused.asked
        ),
        (Bound::Tokens, None) => format!(
            "The request may take {} tokens and its key has {limit} a minute. Send a shorter prompt or a smaller max_tokens.",
            refused.asked
        ),
        (Bound::Concurrent, _) => {
            format!("This key may have {limit} requests at one time, and has. {advice}")
        }
    }
}

impl AccountError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::KeyMissing => "KeyMissing",
            Self::KeyUnknown => "KeyUnknown",
            Self::KeysNotRead => "KeysNotRead",
            Self::Limited(refused) => refused.which.reason(),
            Self::Saturated { .. } => "ModelSaturated",
        }
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::KeyMissing | Self::KeyUnknown => StatusCode::UNAUTHORIZED,
            Self::KeysNotRead => StatusCode::SERVICE_UNAVAILABLE,
            Self::Limited(_) | Self::Saturated { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// OpenAI's `type` where it is not that of the status.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Limited(refused) if refused.which == Bound::Tokens => Some("tokens"),
            Self::Limited(_) | Self::Saturated { .. } => Some("requests"),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::KeyMissing | Self::KeyUnknown => "invalid_api_key",
            Self::KeysNotRead => "api_keys_not_read",
            Self::Limited(_) => "rate_limit_exceeded",
            Self::Saturated { .. } => "model_saturated",
        }
    }

    /// In whole seconds, which is what the header takes.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::KeyMissing | Self::KeyUnknown => None,
            Self::KeysNotRead => Some(RETRY_SOON),
            Self::Saturated { .. } => Some(RETRY_SATURATED),
            Self::Limited(refused) => refused.retry_after.map(|after| {
                let part = u64::from(after.subsec_nanos() > 0);
                Duration::from_secs((after.as_secs() + part).max(1))
            }),
        }
    }

    /// Adds what is left of the account's rates.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Self::Limited(refused) = self {
            let remaining: &Remaining = &refused.remaining;
            rate::tell(remaining, headers);
        }
    }
}
