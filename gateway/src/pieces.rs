//! A body that comes in pieces and is kept until it is whole.

use bytes::{Bytes, BytesMut};

/// What has come. One piece, as small bodies have, is not copied.
#[derive(Debug)]
pub(crate) enum Pieces {
    None { expected: usize },
    One { first: Bytes, expected: usize },
    Many(BytesMut),
}

impl Pieces {
    /// So many bytes are expected in all.
    pub(crate) fn new(expected: usize) -> Self {
        Self::None { expected }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None { .. } => 0,
            Self::One { first, .. } => first.len(),
            Self::Many(all) => all.len(),
        }
    }

    pub(crate) fn push(&mut self, data: Bytes) {
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

    pub(crate) fn whole(self) -> Bytes {
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
