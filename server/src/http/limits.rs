//! Bounds on what a client may send, and how it hears of them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use tokio::time::timeout;

use super::errors::ApiError;
use super::fields::Fields;
use super::room::{Reading, Room, Turn};

/// Longest body that is read as a request.
pub const MAX_BODY: usize = chandler_crds::names::limits::REQUEST_BODY;
/// Longest body that is read and thrown away. A client that still writes when the connection
/// closes sees a reset instead of the answer.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
/// Longest time for a body to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a request's body as a JSON object, in its turn, which it is to hold until it is read to the end.
///
/// # Errors
/// 429 for a body that there is no room for now,
/// 400 for no JSON object, 408 for a body that does not arrive, 413 for one that is too long,
/// 415 for another content type.
pub(super) async fn read_fields(request: Request, room: &Room) -> Result<(Fields, Turn), ApiError> {
    let (head, body) = request.into_parts();
    let bytes = timeout(PATIENCE, read_body(&head.headers, body, room)).await;
    let slow = ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        format!("the body did not arrive within {} s", PATIENCE.as_secs()),
    );
    let (bytes, reading) = bytes.map_err(|_| slow.closing())??;
    check_content_type(&head.headers)?;
    let turn = timeout(PATIENCE, room.turn(reading)).await;
    let turn = turn.ok().and_then(Result::ok);
    let turn = turn.ok_or_else(ApiError::no_room)?;
    Ok((Fields::parse(&bytes)?, turn))
}

async fn read_body(
    headers: &HeaderMap,
    body: Body,
    room: &Room,
) -> Result<(Vec<u8>, Reading), ApiError> {
    let most = room.longest_body();
    let mut reading = room.begin();
    let declared = declared_length(headers);
    // Whoever asks first is answered before the body is sent.
    let asks_first = headers.contains_key(header::EXPECT);
    if declared > MAX_DISCARDED || (asks_first && declared > most) {
        return Err(too_large(most).closing());
    }
    let mut bytes = Vec::with_capacity(declared.min(most));
    let (mut length, mut has_room) = (0usize, true);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::bad_request(format!("the body could not be read: {error}")).closing()
        })?;
        length = length.saturating_add(chunk.len());
        if length > MAX_DISCARDED {
            return Err(too_large(most).closing());
        }
        if length <= most && has_room {
            has_room = reading.add(chunk.len());
            bytes.extend_from_slice(&chunk);
        } else {
            (bytes, reading) = (Vec::new(), room.begin());
        }
    }
    if length > most {
        return Err(too_large(most));
    }
    if !has_room {
        return Err(ApiError::no_room());
    }
    Ok((bytes, reading))
}

fn declared_length(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

fn too_large(most: usize) -> ApiError {
    let most = match most >> 20 {
        0 => format!("{} KiB", most >> 10),
        mib => format!("{mib} MiB"),
    };
    let message = format!("the body is over {most}; send less in one request");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).with_code("request_too_large")
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let message =
        format!("content type `{text}` is not read here; write `content-type: application/json`");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
        .with_code("unsupported_media_type"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    async fn refuse(request: Request) -> StatusCode {
        let read = read_fields(request, &Room::default()).await;
        let error = read.map(|_| "fields").unwrap_err();
        error.into_response().status()
    }

    fn post(content_type: &str, body: impl Into<Body>) -> Request {
        let builder = Request::post("/").header(header::CONTENT_TYPE, content_type);
        builder.body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn json_is_read_under_its_names() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "a/b+json",
        ] {
            let request = post(content_type, r#"{"a": 1}"#);
            let (fields, _) = read_fields(request, &Room::default()).await.unwrap();
            assert!(fields.finish(&[]).is_err());
        }
        let bare = Request::post("/").body(Body::from("{}")).unwrap();
        let (fields, _) = read_fields(bare, &Room::default()).await.unwrap();
        assert!(fields.finish(&[]).is_ok());
    }

    #[tokio::test]
    async fn bodies_beyond_what_there_is_room_for_come_again_later() {
        let room = Room::default();
        room.narrow(0, 0);
        let mut others = room.begin();
        others.add(16 << 20);
        let request = || post("application/json", "{}");
        let error = read_fields(request(), &room).await.map(|_| "fields");
        let response = error.unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
        drop(others);
        assert!(read_fields(request(), &room).await.is_ok());
    }

    #[tokio::test]
    async fn other_content_is_refused() {
        let status = refuse(post("text/plain", "{}")).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[tokio::test]
    async fn long_bodies_are_refused_with_and_without_a_declared_length() {
        let long = vec![b' '; MAX_BODY + 1];
        let status = refuse(post("application/json", long.clone())).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let mut declared = post("application/json", Body::empty());
        let headers = declared.headers_mut();
        headers.insert(header::CONTENT_LENGTH, (MAX_DISCARDED + 1).into());
        assert_eq!(refuse(declared).await, StatusCode::PAYLOAD_TOO_LARGE);
        let fits = post("application/json", vec![b' '; MAX_BODY]);
        assert_eq!(refuse(fits).await, StatusCode::BAD_REQUEST);
    }
}
