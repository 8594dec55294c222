//! Memory of the key-value cache, in blocks of equal size: who holds which, and which hold a beginning
//! that may come again.

use std::collections::{BTreeMap, HashMap};

/// Number of a block, from 0.
pub(crate) type BlockId = u32;
/// What a full block holds, all before it included; 0 before the first.
pub(crate) type ContentId = u64;

/// Nothing came before.
pub(crate) const NOTHING: ContentId = 0;

/// The tokens of a block and what came before them: the same key and value vectors follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    before: ContentId,
    tokens: Box<[u32]>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    /// Sequences that read it.
    holders: u32,
    /// What it is found by, once it is full.
    content: Option<Content>,
    /// Its place in the order of free blocks, while it has no holder.
    place: u64,
}

/// All blocks there are. Those without a holder are free, and keep what they hold until they are taken:
/// the one that was let go longest ago first.
#[derive(Debug)]
pub(crate) struct Blocks {
    block_tokens: usize,
    blocks: Vec<Block>,
    free: BTreeMap<u64, BlockId>,
    found_by: HashMap<Content, (BlockId, ContentId)>,
    places: u64,
    contents: ContentId,
}

/// A known beginning of a sequence.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) blocks: Vec<BlockId>,
    /// What the last of them holds.
    pub(crate) content: ContentId,
}

impl Blocks {
    /// So many blocks of so many tokens, all free.
    pub(crate) fn new(count: u32, block_tokens: usize) -> Self {
        let mut blocks = Self {
            block_tokens: block_tokens.max(1),
            blocks: vec![Block::default(); count as usize],
            free: BTreeMap::new(),
            found_by: HashMap::new(),
            places: 0,
            contents: NOTHING,
        };
        for block in 0..count {
            blocks.set_free(block);
        }
        blocks
    }

    /// Blocks that hold so many tokens.
    pub(crate) fn for_tokens(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_tokens)
    }

    pub(crate) fn block_tokens(&self) -> usize {
        self.block_tokens
    }

    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn count(&self) -> usize {
        self.blocks.len()
    }

    /// Takes a free block, which forgets what it held. `None` when there is none.
    pub(crate) fn take(&mut self) -> Option<BlockId> {
        let (_, block) = self.free.pop_first()?;
        let taken = &mut self.blocks[block as usize];
        taken.holders = 1;
        if let Some(content) = taken.content.take() {
            self.found_by.remove(&content);
        }
        Some(block)
    }

    /// Full blocks that hold the beginning of `tokens`, each with one more holder.
    pub(crate) fn hold_beginning(&mut self, tokens: &[u32]) -> Beginning {
        let beginning = self.known(tokens);
        for block in &beginning.blocks {
            let held = &mut self.blocks[*block as usize];
            if held.holders == 0 {
                self.free.remove(&held.place);
            }
            held.holders += 1;
        }
        beginning
    }

    /// How many blocks at the beginning of `tokens` are known, and how many of these have no holder: holding
    /// them takes so many of the free ones.
    pub(crate) fn known_and_free(&self, tokens: &[u32]) -> (usize, usize) {
        let known = self.known(tokens).blocks;
        let held = |block: &&BlockId| self.blocks[**block as usize].holders > 0;
        (known.len(), known.len() - known.iter().filter(held).count())
    }

    /// Full blocks that hold the beginning of `tokens`. At least one token is left over, whose logits are
    /// wanted.
    fn known(&self, tokens: &[u32]) -> Beginning {
        let mut beginning = Beginning::default();
        let most = tokens.len().saturating_sub(1) / self.block_tokens;
        for tokens in tokens.chunks_exact(self.block_tokens).take(most) {
            let content = Content {
                before: beginning.content,
                tokens: tokens.into(),
            };
            let Some((block, content)) = self.found_by.get(&content) else {
                break;
            };
            beginning.blocks.push(*block);
            beginning.content = *content;
        }
        beginning
    }

    /// A block is full: from now on it is found by its tokens and what came before. Where another block
    /// holds the same, that one stays the one that is found.
    pub(crate) fn fill(&mut self, block: BlockId, before: ContentId, tokens: &[u32]) -> ContentId {
        let content = Content {
            before,
            tokens: tokens.into(),
        };
        if let Some((_, known)) = self.found_by.get(&content) {
            return *known;
        }
        self.contents += 1;
        self.blocks[block as usize].content = Some(content.clone());
        self.found_by.insert(content, (block, self.contents));
        self.contents
    }

    /// Finds nothing by its tokens any more.
    pub(crate) fn forget(&mut self) {
        self.found_by.clear();
        for block in &mut self.blocks {
            block.content = None;
        }
    }

    /// Lets the blocks of a sequence go. The last ones are taken first later: what others begin with too
    /// is at the front.
    pub(crate) fn let_go(&mut self, blocks: &[BlockId]) {
        for block in blocks.iter().rev() {
            let held = &mut self.blocks[*block as usize];
            held.holders = held.holders.saturating_sub(1);
            if held.holders == 0 {
                self.set_free(*block);
            }
        }
    }

    fn set_free(&mut self, block: BlockId) {
        self.places += 1;
        self.blocks[block as usize].place = self.places;
        self.free.insert(self.places, block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(blocks: &mut Blocks, count: usize) -> Vec<BlockId> {
        (0..count)
            .map(|_| blocks.take().expect("a block"))
            .collect()
    }

    #[test]
    fn a_beginning_is_found_again_until_its_blocks_are_taken() {
        let mut blocks = Blocks::new(4, 2);
        let held = taken(&mut blocks, 2);
        let first = blocks.fill(held[0], NOTHING, &[1, 2]);
        let second = blocks.fill(held[1], first, &[3, 4]);
        blocks.let_go(&held);
        assert_eq!(blocks.free(), 4);
        let again = blocks.hold_beginning(&[1, 2, 3, 4, 5]);
        assert_eq!((&again.blocks, again.content), (&held, second));
        assert_eq!(blocks.free(), 2);
        // A token is left over to compute.
        assert_eq!(blocks.hold_beginning(&[1, 2, 3, 4]).blocks, held[..1]);
        assert_eq!(blocks.hold_beginning(&[3, 4, 5]), Beginning::default());
        blocks.let_go(&held);
        blocks.let_go(&held[..1]);
        // Two that were never used go first, then the end of the sequence.
        taken(&mut blocks, 3);
        assert_eq!(blocks.hold_beginning(&[1, 2, 3, 4, 5]).blocks, held[..1]);
        assert!(blocks.take().is_none());
    }

    #[test]
    fn of_two_blocks_that_hold_the_same_one_is_found() {
        let mut blocks = Blocks::new(2, 1);
        let held = taken(&mut blocks, 2);
        let one = blocks.fill(held[0], NOTHING, &[7]);
        assert_eq!(blocks.fill(held[1], NOTHING, &[7]), one);
        assert_eq!(blocks.known_and_free(&[7, 8]), (1, 0));
        blocks.let_go(&held[..1]);
        assert_eq!(blocks.known_and_free(&[7, 8]), (1, 1));
        assert_eq!(blocks.take(), Some(held[0]));
        assert_eq!(blocks.known_and_free(&[7, 8]), (0, 0));
    }
}
