//! How requests to an S3 service go out. The crate that signs and reads them keeps the statuses
//! that it refuses to itself, so they are turned into errors before it sees them.

use std::fmt;

use futures::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use reqwest::header::HeaderMap;

/// Bytes read of an answer that tells what is wrong.
const MAX_REFUSAL: usize = 64 << 10;

/// Gives out one client.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) reqwest::Client);

#[derive(Debug)]
struct Strict(reqwest::Client);

/// A status that is no success.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// The service's own word, such as `NoSuchBucket`.
    pub(crate) code: Option<String>,
    pub(crate) headers: HeaderMap,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.as_deref().unwrap_or_default();
        write!(out, "HTTP {} {code}", self.status)
    }
}

impl std::error::Error for Refused {}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Strict(self.0.clone())))
    }
}

#[async_trait::async_trait]
impl HttpService for Strict {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.call(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let refused = Refused {
            status: status.as_u16(),
            code: code_of(&start_of(body).await),
            headers: parts.headers,
        };
        // Of this kind it is not tried again.
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }
}

async fn start_of(body: HttpResponseBody) -> Vec<u8> {
    let mut start = Vec::new();
    let mut chunks = body.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        start.extend_from_slice(&chunk);
        if start.len() >= MAX_REFUSAL {
            break;
        }
    }
    start
}

/// The code alone: the message beside it may hold the key's name.
fn code_of(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = !code.is_empty() && code.len() <= 64;
    (is_word && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_counts_as_code() {
        let body = b"<?xml?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>";
        assert_eq!(code_of(body).as_deref(), Some("NoSuchKey"));
        assert_eq!(code_of(b"<Code>a b</Code>"), None);
        assert_eq!(code_of(b"\xff<Code>"), None);
    }
}
