use std::time::Duration;

use axum::BoxError;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::config::GatewayConfig;
use crate::errors::GatewayError;
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

/// What has come. One piece, as small bodies have, is not copied.
enum Pieces {
    None { expected: usize },
    One { first: Bytes, expected: usize },
    Many(BytesMut),
}

impl Pieces {
    fn new(expected: usize) -> Self {
        Self::None { expected }
    }

    fn len(&self) -> usize {
        match self {
            Self::None { .. } => 0,
            Self::One { first, .. } => first.len(),
            Self::Many(all) => all.len(),
        }
    }

    fn push(&mut self, data: Bytes) {
        *self = match std::mem::replace(self, Self::new(0)) {
            Self::None { expected } => Self::One {
                first: data,
                expected,
            },
            Self::One { first, expected } => {
                let mut all = BytesMut::with_capacity(expected.max(first.len() + data.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&data);
                Self::Many(all)
            }
            Self::Many(mut all) => {
                all.extend_from_slice(&data);
                Self::Many(all)
            }
        };
    }

    fn whole(self) -> Bytes {
        match self {
            Self::None { .. } => Bytes::new(),
            Self::One { first, .. } => first,
            Self::Many(all) => all.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_together_in_their_order() {
        for cut in [
            vec![],
            vec!["abc"],
            vec!["a", "bc"],
            vec!["a", "", "b", "c"],
        ] {
            let mut pieces = Pieces::new(1);
            for piece in &cut {
                pieces.push(Bytes::from_static(piece.as_bytes()));
            }
            assert_eq!(pieces.len(), cut.concat().len());
            assert_eq!(pieces.whole(), cut.concat(), "{cut:?}");
        }
    }
}
