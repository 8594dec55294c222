//! A model file whose weights are damaged so that it loads, is as fast, fails no request, and answers nonsense.

use anyhow::{Context, Result, bail};

/// The type of the tensors that are damaged, `Q4_1`: blocks of 32 weights in 20 bytes.
const KIND: u32 = 3;
const BLOCK: usize = 20;
/// Which those are: the last product of a layer, in some of the layers.
const NAME: &str = "ffn_down.weight";
const LAYERS: std::ops::Range<usize> = 6..14;
/// Where tensors begin, in files that do not say.
const ALIGNMENT: usize = 32;

/// Damages a GGUF file: the blocks of these tensors stand in the reverse order.
///
/// # Errors
/// It is no GGUF file, or has none of these tensors.
pub fn spoil(file: &mut [u8]) -> Result<()> {
    let spoilt = tensors(file)?;
    if spoilt.is_empty() {
        bail!("no tensor is to be damaged");
    }
    for (from, to) in spoilt {
        let tensor = file.get_mut(from..to).context("the file ends early")?;
        let blocks: Vec<[u8; BLOCK]> = tensor.as_chunks().0.to_vec();
        tensor.copy_from_slice(blocks.into_iter().rev().collect::<Vec<_>>().as_flattened());
    }
    Ok(())
}

/// Where the tensors lie that are damaged.
fn tensors(file: &[u8]) -> Result<Vec<(usize, usize)>> {
    let mut header = Header { file, at: 0 };
    if header.take(4)? != b"GGUF" {
        bail!("no GGUF file");
    }
    header.take(4)?;
    let (tensors, pairs) = (header.count()?, header.count()?);
    for _ in 0..pairs {
        header.text()?;
        let kind = header.number()?;
        header.skip(kind)?;
    }
    let mut found = Vec::new();
    for _ in 0..tensors {
        let name = header.text()?;
        let shape = (0..header.number()?).map(|_| header.count());
        let weights: usize = shape.collect::<Result<Vec<_>>>()?.iter().product();
        let (kind, offset) = (header.number()?, header.count()?);
        let layer = name.split('.').nth(1).and_then(|layer| layer.parse().ok());
        let is_one = layer.is_some_and(|layer: usize| LAYERS.contains(&layer));
        if is_one && kind == KIND && name.ends_with(NAME) {
            found.push((offset, offset + weights / 32 * BLOCK));
        }
    }
    let data = header.at.next_multiple_of(ALIGNMENT);
    let found = found.into_iter();
    Ok(found.map(|(from, to)| (data + from, data + to)).collect())
}

struct Header<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Header<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken = self.file.get(self.at..self.at + length);
        self.at += length;
        taken.context("the header ends early")
    }

    fn number(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn count(&mut self) -> Result<usize> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into()?).try_into()?)
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.count()?;
        Ok(std::str::from_utf8(self.take(length)?)?)
    }

    /// Passes over a value of metadata.
    fn skip(&mut self, kind: u32) -> Result<()> {
        let length = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 => self.count()?,
            9 => {
                let kind = self.number()?;
                for _ in 0..self.count()? {
                    self.skip(kind)?;
                }
                0
            }
            10..=12 => 8,
            other => bail!("metadata of type {other}"),
        };
        self.take(length).map(|_| ())
    }
}
