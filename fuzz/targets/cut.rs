//! Where a stream of bytes is cut into the pieces that it comes in.

/// The pieces of these lengths; what is left behind them is the last.
pub fn pieces<'a>(lengths: &'a [u8], stream: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    let lengths = lengths.iter().map(|length| usize::from(*length));
    lengths.chain([usize::MAX]).map(move |length| {
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        piece
    })
}
