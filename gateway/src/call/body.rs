use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::config::GatewayConfig;
use crate::errors::GatewayError;
use crate::pieces::Pieces;
use crate::serve;

/// How long a caller may take to send what will be thrown away.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// The whole body. A caller that waits for `100 Continue` gets its 413 without sending a byte.
///
/// # Errors
/// It is too long, or ends early, or comes too slowly.
pub(super) async fn read<B>(
    mut body: B,
    waits_for_go: bool,
    config: &GatewayConfig,
) -> Result<Bytes, GatewayError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let limit = config.body_limit;
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit && waits_for_go {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let mut read = Pieces::new(declared.min(limit));
    let mut too_large = declared > limit;
    while !too_large && let Some(data) = next(&mut body).await? {
        too_large = read.len() + data.len() > limit;
        if !too_large {
            read.push(data);
        }
    }
    if too_large {
        drop(read);
        // Out of time or not, the answer is the same.
        let _ = timeout(DISCARD_TIME, discard(body, config.discard_limit)).await;
        return Err(GatewayError::BodyTooLarge { limit });
    }
    Ok(read.whole())
}

/// The next bytes, `None` at the end.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, GatewayError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    loop {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(serve::unread(&*error.into())),
            None => return Ok(None),
        };
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B, limit: usize) {
    let mut read = 0;
    while read < limit
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}
