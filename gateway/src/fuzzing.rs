//! What `fuzz/` needs of the gateway's insides, and nobody else.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request};

use crate::call::Call;
use crate::config::GatewayConfig;
use crate::errors::GatewayError;
use crate::event_gate::EventGate;

/// A request that was let in.
#[derive(Debug)]
pub struct LetIn(Call);

impl LetIn {
    /// The model that it names.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The headers that a replica gets.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The body for a replica that calls the model so.
    #[must_use]
    pub fn body_for(&self, served_name: &str) -> Bytes {
        self.0.body_for(served_name)
    }
}

/// Reads a request whose body comes in these pieces; in one piece, its length is told ahead.
///
/// # Errors
/// What the caller would be told.
pub async fn read(
    headers: HeaderMap,
    mut pieces: Vec<Bytes>,
    body_limit: usize,
) -> Result<LetIn, GatewayError> {
    let config = GatewayConfig {
        body_limit,
        ..GatewayConfig::default()
    };
    let body = match pieces.len() {
        1 => Body::from(pieces.remove(0)),
        _ => Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))),
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    Call::read(parts, body, &config).await.map(LetIn)
}

/// The gate that events pass.
#[derive(Debug)]
pub struct Events(EventGate);

impl Events {
    /// A gate that no event passes that is longer than so many bytes.
    #[must_use]
    pub fn with_longest(longest: usize) -> Self {
        Self(EventGate::with_longest(longest))
    }

    /// The events that are whole with this piece.
    ///
    /// # Errors
    /// When an event is too long, in words.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, String> {
        let whole = self.0.push(piece).map_err(|error| error.to_string())?;
        Ok(whole.unwrap_or_default())
    }

    /// What an orderly end lets through.
    pub fn finish(&mut self) -> Bytes {
        self.0.finish().unwrap_or_default()
    }

    /// Whether `data: [DONE]` has passed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.done()
    }
}
