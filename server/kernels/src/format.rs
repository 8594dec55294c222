//! How weights are written in a file.

/// A format of weights, under GGUF's names.
///
/// The quantised ones are those of ggml (`ggml-common.h`): a block of 32 or 256 columns of one row has a scale, for
/// some also a minimum, and so many bits a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// 4 bits and a scale for 32 columns.
    Q4_0,
    /// 4 bits, a scale and a minimum for 32 columns.
    Q4_1,
    /// 8 bits and a scale for 32 columns.
    Q8_0,
    /// 4 bits; 6-bit scales and minimums of 32 columns in blocks of 256.
    Q4K,
    /// 5 bits; 6-bit scales and minimums of 32 columns in blocks of 256.
    Q5K,
    /// 6 bits; 8-bit scales of 16 columns in blocks of 256.
    Q6K,
    /// Numbers of 32 bits.
    F32,
    /// The upper halves of numbers of 32 bits.
    BF16,
    /// Numbers of 16 bits as IEEE 754 has them.
    F16,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::F32,
        Self::BF16,
        Self::F16,
    ];

    /// Columns of a block, of which a row has a whole number.
    #[must_use]
    pub const fn block_columns(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
            Self::F32 | Self::BF16 | Self::F16 => 1,
        }
    }

    /// Bytes of a block in a file.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::F32 => 4,
            Self::BF16 | Self::F16 => 2,
        }
    }
}
