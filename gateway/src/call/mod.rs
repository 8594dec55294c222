//! A caller's request, read whole before any replica is asked, so that it can be sent again.

mod body;
mod head;
mod messages;
mod tensors;
mod values;
mod wishes;

use std::borrow::Cow;
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body as HttpBody;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::head::Head;
pub(crate) use self::tensors::TensorPath;
use self::wishes::Wishes;
use crate::config::GatewayConfig;
use crate::errors::GatewayError;
use crate::headers;
use crate::http1::Output;
use crate::in_flight::Lease;
use crate::observe::Attempt;
use chandler_crds::names::{api, headers as names};

/// Bytes that a request's head takes as a rule.
const TYPICAL_HEAD: usize = 1 << 10;

/// A request as every replica is sent it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The model's name as the caller wrote it.
    pub(crate) model: String,
    /// Whether the answer is wanted as server-sent events.
    pub(crate) stream: bool,
    /// Equal for prompts that begin alike.
    pub(crate) prefix: Option<u64>,
    pub(crate) wishes: Wishes,
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    /// The caller's bytes, unless the gateway asks for more than the caller did.
    body: Bytes,
}

impl Call {
    /// # Errors
    /// The request can't be sent to any model.
    pub(crate) async fn read<B>(
        mut parts: Parts,
        body: B,
        config: &GatewayConfig,
    ) -> Result<Self, GatewayError>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let wishes = Wishes::parse(&parts.headers)?;
        headers::remove_named(&mut parts.headers);
        let waits_for_go = parts.headers.contains_key(header::EXPECT);
        let body = body::read(body, waits_for_go, config).await?;
        let head = match TensorPath::of(parts.uri.path()) {
            Some(path) => Head::named(path.model()),
            None => Head::parse(&body)?,
        };
        let path = parts.uri.path_and_query().cloned();
        Ok(Self {
            model: head.model,
            stream: head.stream,
            prefix: head.prefix,
            wishes,
            method: parts.method,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            headers: parts.headers,
            body,
        })
    }

    /// Bytes that the request takes while it waits.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn path(&self) -> &str {
        self.path.path()
    }

    /// Whether text is to be written, else it is only read: for vectors, labels or tokens.
    pub(crate) fn generates(&self) -> bool {
        let writes = [api::CHAT, api::COMPLETIONS].contains(&self.path());
        self.stream || writes
    }

    /// Whether the model itself takes part: tokens are told without it, and nobody uses any.
    pub(crate) fn computes(&self) -> bool {
        ![api::TOKENIZE, api::DETOKENIZE].contains(&self.path())
    }

    /// Its path, where that names the model.
    fn tensors(&self) -> Option<TensorPath<'_>> {
        TensorPath::of(self.path.as_str())
    }

    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    /// As the replica gets them, but for those that are set anew.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers
            .iter()
            .filter(|(name, _)| headers::goes_to_replica(name))
    }

    /// The same that nobody waits for, with another body, whose answer is wanted whole. No account's turn is spent on it.
    pub(crate) fn aside(&self, body: Bytes) -> Self {
        let mut fields = self.headers.clone();
        fields.remove(&headers::CALLER);
        Self {
            model: self.model.clone(),
            stream: false,
            prefix: self.prefix,
            wishes: Wishes::default(),
            method: self.method.clone(),
            path: self.path.clone(),
            headers: fields,
            body,
        }
    }

    /// Another body for the replica.
    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    /// The request for the replica of `lease`, which has `left` to answer it, as `attempt` names it.
    pub(crate) fn to_replica(&self, lease: &Lease, left: Duration, attempt: &Attempt) -> Output {
        let body = self.body_for(&lease.served_name);
        let mut request = Output::default();
        request.reserve(TYPICAL_HEAD, body.len());
        let path = self.path_for(&lease.served_name);
        let method = self.method.as_str();
        request.begin([method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1"]);
        request.field(header::HOST.as_str(), lease.host.as_bytes());
        for (name, value) in self.headers() {
            request.field(name.as_str(), value.as_bytes());
        }
        request.seconds_field(names::REQUEST_TIMEOUT, left);
        request.field(names::TRACEPARENT, &attempt.trace());
        request.field(names::REQUEST_ID, attempt.request_id().as_bytes());
        request.end_with_length(body.len() as u64);
        request.data(body);
        request
    }

    /// The path for a replica that calls the model `served_name`.
    fn path_for(&self, served_name: &str) -> Cow<'_, str> {
        match self.tensors() {
            Some(path) if self.model != served_name => path.renamed(served_name).into(),
            _ => self.path.as_str().into(),
        }
    }

    /// The body for a replica that calls the model `served_name`: the caller's very bytes, but
    /// where the caller used another name of the model.
    pub(crate) fn body_for(&self, served_name: &str) -> Bytes {
        if self.model == served_name || self.tensors().is_some() {
            return self.body.clone();
        }
        renamed(&self.body, served_name).unwrap_or_else(|_| self.body.clone())
    }
}

/// The body with another name of the model, and nothing else changed: numbers that are read and
/// written anew may lose their last digits.
fn renamed(body: &[u8], name: &str) -> serde_json::Result<Bytes> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let Named { model } = serde_json::from_slice(body)?;
    let name = serde_json::to_vec(name)?;
    Ok(with_part(body, model, &name))
}

/// The body with other text in the place of `part`, which was read from it.
pub(crate) fn with_part(body: &[u8], part: &RawValue, text: &[u8]) -> Bytes {
    let part = part.get();
    let begin = part.as_ptr() as usize - body.as_ptr() as usize;
    let (before, after) = (&body[..begin], &body[begin + part.len()..]);
    [before, text, after].concat().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_model_of_another_name_is_renamed_and_nothing_else() {
        let body = r#"{"n":1, "model" : "team/chat","stop":["a\n"],"x":4444444444444444444444e85}"#;
        assert_eq!(
            renamed(body.as_bytes(), "a \"chat\"").unwrap(),
            r#"{"n":1, "model" : "a \"chat\"","stop":["a\n"],"x":4444444444444444444444e85}"#
        );
    }
}
