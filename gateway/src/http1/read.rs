use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once.
const READ: usize = 8 << 10;

/// Reads more to the end of `buffer`; 0 at the end of the connection.
pub(crate) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    buffer.reserve(READ);
    poll_read_buf(Pin::new(stream), cx, buffer)
}
