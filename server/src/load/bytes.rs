//! Reads little-endian values out of bytes without ever going past their end.

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The bytes end before `what`, which would end at byte `needed`.
    End { what: String, needed: u64 },
    /// The bytes make no sense.
    Nonsense(String),
}

impl Cut {
    /// Says where it happened.
    pub(crate) fn within(self, name: &str) -> Self {
        match self {
            Self::End { what, needed } => Self::End {
                what: format!("{what} of `{name}`"),
                needed,
            },
            Self::Nonsense(problem) => Self::Nonsense(format!("`{name}`: {problem}")),
        }
    }
}

/// A place in bytes that moves on as values are read.
#[derive(Debug)]
pub(crate) struct Bytes<'a> {
    all: &'a [u8],
    position: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Self { all, position: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position as u64
    }

    /// Checks that `count` values of `size` bytes can still come.
    pub(crate) fn require(&self, count: u64, size: u64, what: &str) -> Result<u64, Cut> {
        let needed = count
            .saturating_mul(size)
            .saturating_add(self.position as u64);
        if needed > self.all.len() as u64 {
            return Err(Cut::End {
                what: what.to_owned(),
                needed,
            });
        }
        Ok(needed)
    }

    pub(crate) fn skip(&mut self, count: u64, size: u64, what: &str) -> Result<(), Cut> {
        self.position = self.require(count, size, what)? as usize;
        Ok(())
    }

    pub(crate) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], Cut> {
        let end = self.require(count, 1, what)? as usize;
        let taken = self.all.get(self.position..end).unwrap_or_default();
        self.position = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Cut> {
        let taken = self.take(N as u64, what)?;
        taken
            .try_into()
            .map_err(|_| Cut::Nonsense(format!("{what} has the wrong length")))
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, Cut> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, Cut> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self, what: &str) -> Result<f32, Cut> {
        self.array(what).map(f32::from_le_bytes)
    }

    pub(crate) fn f64(&mut self, what: &str) -> Result<f64, Cut> {
        self.array(what).map(f64::from_le_bytes)
    }

    /// A text after its length in bytes; invalid UTF-8 is replaced, as real files have some.
    pub(crate) fn text(&mut self, what: &str) -> Result<String, Cut> {
        let length = self.u64(what)?;
        let bytes = self.take(length, what)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// An integer of GGUF's type `kind`.
    pub(crate) fn integer(&mut self, kind: u32) -> Result<i128, Cut> {
        let what = "a number";
        Ok(match kind {
            0 => u8::from_le_bytes(self.array(what)?).into(),
            1 => i8::from_le_bytes(self.array(what)?).into(),
            2 => u16::from_le_bytes(self.array(what)?).into(),
            3 => i16::from_le_bytes(self.array(what)?).into(),
            4 => u32::from_le_bytes(self.array(what)?).into(),
            5 => i32::from_le_bytes(self.array(what)?).into(),
            10 => u64::from_le_bytes(self.array(what)?).into(),
            11 => i64::from_le_bytes(self.array(what)?).into(),
            _ => return Err(Cut::Nonsense(format!("metadata type {kind} is unknown"))),
        })
    }
}
