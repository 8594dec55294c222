use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::config::GatewayConfig;
use crate::errors::GatewayError;
use crate::headers;

/// The field that names the model.
const MODEL: &str = "model";
/// How long a caller may take to send what will be thrown away.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// A request as every replica is sent it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The model's name as the caller wrote it.
    pub(crate) model: String,
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    /// The caller's bytes, unchanged.
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) async fn read(
        parts: Parts,
        body: Body,
        config: &GatewayConfig,
    ) -> Result<Self, GatewayError> {
        let waits_for_go = parts.headers.contains_key(header::EXPECT);
        let body = read_body(body, waits_for_go, config).await?;
        let model = model_of(&body)?;
        let path = parts.uri.path_and_query().cloned();
        Ok(Self {
            model,
            method: parts.method,
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            headers: headers::for_upstream(parts.headers),
            body,
        })
    }

    /// The body for a replica that calls the model `served_name`: the caller's very bytes, but
    /// where the caller used another name of the model.
    pub(crate) fn body_for(&self, served_name: &str) -> Bytes {
        if self.model == served_name {
            return self.body.clone();
        }
        renamed(&self.body, served_name).unwrap_or_else(|_| self.body.clone())
    }
}

fn renamed(body: &[u8], model: &str) -> serde_json::Result<Bytes> {
    let mut fields: Map<String, Value> = serde_json::from_slice(body)?;
    fields.insert(MODEL.to_owned(), Value::from(model));
    serde_json::to_vec(&fields).map(Bytes::from)
}

/// The whole body. A caller that waits for `100 Continue` gets its 413 without sending a byte.
async fn read_body(
    mut body: Body,
    waits_for_go: bool,
    config: &GatewayConfig,
) -> Result<Bytes, GatewayError> {
    let limit = config.body_limit;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit && waits_for_go {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let mut read = BytesMut::with_capacity(declared.min(limit));
    let mut too_large = declared > limit;
    while !too_large && let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| GatewayError::BodyIncomplete(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        too_large = read.len() + data.len() > limit;
        if !too_large {
            read.extend_from_slice(&data);
        }
    }
    if too_large {
        drop(read);
        // Out of time or not, the answer is the same.
        let _ = tokio::time::timeout(DISCARD_TIME, discard(body, config.discard_limit)).await;
        return Err(GatewayError::BodyTooLarge { limit });
    }
    Ok(read.freeze())
}

async fn discard(mut body: Body, limit: usize) {
    let mut read = 0;
    while read < limit
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[derive(Deserialize)]
struct Head {
    model: Option<Value>,
}

/// The `model` of a request. The rest is the replica's to judge.
pub(crate) fn model_of(body: &[u8]) -> Result<String, GatewayError> {
    let head: Head = match serde_json::from_slice(body) {
        Ok(head) => head,
        Err(error) if error.classify() == Category::Data && !is_object(body) => {
            return Err(GatewayError::NotAnObject);
        }
        Err(error) => return Err(GatewayError::InvalidJson(error.to_string())),
    };
    if !is_object(body) {
        return Err(GatewayError::NotAnObject);
    }
    match head.model {
        Some(Value::String(model)) => Ok(model),
        Some(Value::Bool(_)) => Err(GatewayError::ModelNotString("a boolean")),
        Some(Value::Number(_)) => Err(GatewayError::ModelNotString("a number")),
        Some(Value::Array(_)) => Err(GatewayError::ModelNotString("an array")),
        Some(Value::Object(_)) => Err(GatewayError::ModelNotString("an object")),
        Some(Value::Null) | None => Err(GatewayError::ModelMissing),
    }
}

/// Whether valid JSON is an object; serde takes an array for a struct too.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_model_and_nothing_else() {
        let body = br#" {"messages":[{"model":"inner"}],"model":"ch\u0061t","x":{"a":[1,2,null]}}"#;
        assert_eq!(model_of(body), Ok("chat".into()));
    }

    #[test]
    fn a_model_of_another_name_is_renamed_and_nothing_else() {
        let call = |body: &'static str| Call {
            model: "team/chat".into(),
            method: Method::POST,
            path: PathAndQuery::from_static("/"),
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let body = r#"{"n":1, "model":"team/chat","stop":["a\n"],"temperature":0.7}"#;
        assert_eq!(call(body).body_for("team/chat"), body);
        assert_eq!(
            call(body).body_for("chat"),
            r#"{"n":1,"model":"chat","stop":["a\n"],"temperature":0.7}"#
        );
    }

    #[test]
    fn bad_bodies_are_told_apart() {
        let json = |message: &str| GatewayError::InvalidJson(message.into());
        #[rustfmt::skip]
        let cases: &[(&str, GatewayError)] = &[
            ("", json("EOF while parsing a value at line 1 column 0")),
            ("{\"model\": \"chat\",\n \"a\": nope}", json("expected ident at line 2 column 8")),
            ("{\"model\": \"chat\"", json("EOF while parsing an object at line 1 column 16")),
            ("{\"model\": \"a\"} trailing", json("trailing characters at line 1 column 16")),
            ("{\"model\":\"a\",\"model\":\"b\"}", json("duplicate field `model` at line 1 column 20")),
            ("[\"chat\"]", GatewayError::NotAnObject),
            ("[]", GatewayError::NotAnObject),
            ("\"chat\"", GatewayError::NotAnObject),
            ("12", GatewayError::NotAnObject),
            ("null", GatewayError::NotAnObject),
            ("{}", GatewayError::ModelMissing),
            ("{\"model\": null}", GatewayError::ModelMissing),
            ("{\"model\": 7}", GatewayError::ModelNotString("a number")),
            ("{\"model\": [\"chat\"]}", GatewayError::ModelNotString("an array")),
            ("{\"model\": {}}", GatewayError::ModelNotString("an object")),
            ("{\"model\": true}", GatewayError::ModelNotString("a boolean")),
        ];
        for (body, wanted) in cases {
            assert_eq!(model_of(body.as_bytes()).as_ref(), Err(wanted), "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let deep = format!("{{\"model\":{}", "[".repeat(1 << 20));
        assert!(matches!(
            model_of(deep.as_bytes()),
            Err(GatewayError::InvalidJson(_))
        ));
        let ignored = format!("{{\"x\":{}", "[".repeat(1 << 20));
        assert!(model_of(ignored.as_bytes()).is_err());
        assert!(model_of(b"\xff\xfe").is_err());
    }
}
