//! What is computed in the next step: which tokens of which sequences, in which blocks of the cache.
//!
//! Pure: it knows no model, no time and no threads. A step has one budget of tokens. Sequences that
//! write come first, a token each, so that a long prompt never stalls a stream; what is left of the
//! budget reads prompts, in chunks. Where the cache is full, the sequence that would be served last is
//! taken back: its blocks go, and it is computed anew later.

mod blocks;
mod step;
mod turns;

use std::collections::BTreeMap;

pub(crate) use blocks::BlockId;
use blocks::{Beginning, Blocks, ContentId, NOTHING};
pub(crate) use step::{Arrival, Chunk, Limits, Step};
use turns::Turns;

/// Names a sequence, in the order of their coming.
pub(crate) type SequenceId = u64;
/// Names whose sequence it is.
pub(crate) type CallerId = u64;

/// Who was passed so often by others that came later is passed no more: callers without end who each
/// want little would else keep one waiting for ever.
const MOST_PASSED: u32 = 64;

#[derive(Debug)]
struct Sequence {
    caller: CallerId,
    priority: i32,
    scored: bool,
    /// Those that were read and those that were written.
    tokens: Vec<u32>,
    /// So many of them are in the cache, or will be after this step.
    computed: usize,
    blocks: Vec<BlockId>,
    /// Full blocks that are known to hold what they hold, and what the last of them does.
    filled: usize,
    content: ContentId,
    /// How many that came later began before it.
    passed: u32,
}

impl Sequence {
    fn left(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether it has been read, so that each step writes a token.
    fn is_writing(&self) -> bool {
        self.computed > 0 && self.left() == 1
    }
}

/// What is left of a step.
#[derive(Clone, Copy, Debug)]
struct Left {
    tokens: usize,
    /// Logits beside one for each sequence that runs: there is memory for as many as there may be sequences.
    logits: usize,
}

/// All sequences that are not done.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Sequences that are in the cache at most.
    most: usize,
    blocks: Blocks,
    sequences: BTreeMap<SequenceId, Sequence>,
    /// Those that have blocks.
    running: Vec<SequenceId>,
    waiting: Vec<SequenceId>,
    turns: Turns,
    arrived: SequenceId,
}

impl Schedule {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            blocks: Blocks::new(limits.blocks, limits.block_tokens),
            most: limits.sequences.max(1),
            sequences: BTreeMap::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            turns: Turns::default(),
            arrived: 0,
        }
    }

    /// A sequence that waits for its first step.
    pub(crate) fn arrive(&mut self, arrival: Arrival) -> SequenceId {
        self.arrived += 1;
        let waiting = self.waiting.iter().chain(&self.running);
        let active = waiting.filter_map(|id| Some(self.sequences.get(id)?.caller));
        self.turns.arrive(arrival.caller, active);
        self.sequences.insert(
            self.arrived,
            Sequence {
                caller: arrival.caller,
                priority: arrival.priority,
                scored: arrival.scored,
                tokens: arrival.prompt,
                computed: 0,
                blocks: Vec::new(),
                filled: 0,
                content: NOTHING,
                passed: 0,
            },
        );
        self.waiting.push(self.arrived);
        self.arrived
    }

    /// A step has written this token of a sequence.
    pub(crate) fn wrote(&mut self, id: SequenceId, token: u32) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.tokens.push(token);
        }
    }

    /// A sequence is over, or nobody waits for it: its blocks are free.
    pub(crate) fn end(&mut self, id: SequenceId) {
        self.running.retain(|running| *running != id);
        self.waiting.retain(|waiting| *waiting != id);
        if let Some(sequence) = self.sequences.remove(&id) {
            self.blocks.let_go(&sequence.blocks);
        }
    }

    /// Part of a step was not computed: these sequences are computed anew, and what the cache holds of
    /// others is not relied on for new ones.
    pub(crate) fn failed(&mut self, ids: &[SequenceId]) {
        self.blocks.forget();
        for id in ids {
            self.running.retain(|running| running != id);
            self.wait_anew(*id);
        }
    }

    /// The tokens of a sequence, and the blocks that its computed ones are in.
    pub(crate) fn sequence(&self, id: SequenceId) -> Option<(&[u32], &[BlockId])> {
        let sequence = self.sequences.get(&id)?;
        Some((&sequence.tokens, &sequence.blocks))
    }

    /// How many have been read, so that each writes a token in the next step.
    pub(crate) fn writing(&self) -> usize {
        let running = self.running.iter().filter_map(|id| self.sequences.get(id));
        running.filter(|sequence| sequence.is_writing()).count()
    }

    /// Share of the cache that sequences hold.
    pub(crate) fn cache_usage(&self) -> f64 {
        let count = self.blocks.count().max(1) as f64;
        1.0 - self.blocks.free() as f64 / count
    }

    /// What is computed next, of so many tokens, at least one, and in any case one for each that writes;
    /// nothing when there is nothing to do. Counts as done at once.
    pub(crate) fn step(&mut self, budget: usize) -> Step {
        let mut step = Step::default();
        let mut left = Left {
            tokens: budget.max(self.writing()).max(1),
            logits: self.most.saturating_sub(self.running.len()),
        };
        self.running
            .sort_by_key(|id| place(&self.sequences[id], *id));
        self.write(&mut step, &mut left);
        self.read(&mut step, &mut left);
        if step.taken_back.is_empty() {
            self.admit(&mut step, &mut left);
        }
        step
    }

    /// A token of each sequence that writes. One that finds no block takes it from the last of all.
    fn write(&mut self, step: &mut Step, left: &mut Left) {
        let mut at = 0;
        while let Some(id) = self.running.get(at).copied() {
            at += 1;
            if !self.sequences[&id].is_writing() {
                continue;
            }
            while !self.has_room(id, 1) {
                let Some(last) = self.running.pop() else {
                    return;
                };
                self.take_back(last, step);
                if last == id {
                    return;
                }
            }
            self.compute(id, 1, step, left);
        }
    }

    /// Goes on with prompts that are being read; their blocks are held already.
    fn read(&mut self, step: &mut Step, left: &mut Left) {
        for id in self.running.clone() {
            let is_new = !step.chunks.iter().any(|chunk| chunk.id == id);
            let tokens = self.readable(id, *left);
            if is_new && tokens > 0 {
                self.compute(id, tokens, step, left);
            }
        }
    }

    /// Begins with those that wait, as long as there is room for all of their tokens.
    fn admit(&mut self, step: &mut Step, left: &mut Left) {
        while left.tokens > 0 && left.logits > 0 && self.running.len() < self.most {
            let Some(at) = self.next() else {
                return;
            };
            let id = self.waiting[at];
            if !self.fits(id) {
                return;
            }
            self.waiting.remove(at);
            self.pass(id);
            self.running.push(id);
            self.hold(id);
            left.logits -= 1;
            self.compute(id, self.readable(id, *left), step, left);
        }
    }

    /// So many tokens of a prompt go on in a step. One whose logits are all wanted takes half of those that are left,
    /// so that others can begin beside it.
    fn readable(&self, id: SequenceId, left: Left) -> usize {
        let sequence = &self.sequences[&id];
        let tokens = sequence.left().min(left.tokens);
        if sequence.scored {
            tokens.min(1 + left.logits / 2)
        } else {
            tokens
        }
    }

    /// Which of those that wait goes first: by priority, then who was passed too often, then whoever had
    /// least, then who came first.
    fn next(&self) -> Option<usize> {
        let order = |id: &SequenceId| {
            let sequence = &self.sequences[id];
            let may_be_passed = sequence.passed < MOST_PASSED;
            let had = if may_be_passed {
                self.turns.had(sequence.caller)
            } else {
                0
            };
            (sequence.priority, may_be_passed, had, *id)
        };
        (0..self.waiting.len()).min_by_key(|at| order(&self.waiting[*at]))
    }

    /// Those that came before this one still wait.
    fn pass(&mut self, id: SequenceId) {
        for earlier in self.waiting.iter().filter(|waiting| **waiting < id) {
            if let Some(sequence) = self.sequences.get_mut(earlier) {
                sequence.passed += 1;
            }
        }
    }

    /// Whether there are blocks for all its tokens, and one more for each of those that run already:
    /// otherwise it would soon be taken back.
    fn fits(&self, id: SequenceId) -> bool {
        let tokens = &self.sequences[&id].tokens;
        let (known, known_and_free) = if self.sequences[&id].scored {
            (0, 0)
        } else {
            self.blocks.known_and_free(tokens)
        };
        let new = self.blocks.for_tokens(tokens.len() + 1) - known;
        new + known_and_free + self.running.len() <= self.blocks.free()
    }

    /// Blocks for all tokens that it has so far.
    fn hold(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        let beginning = if sequence.scored {
            Beginning::default()
        } else {
            self.blocks.hold_beginning(&sequence.tokens)
        };
        sequence.filled = beginning.blocks.len();
        sequence.computed = sequence.filled * self.blocks.block_tokens();
        sequence.content = beginning.content;
        sequence.blocks = beginning.blocks;
        let left = sequence.left();
        self.has_room(id, left);
    }

    /// Whether it has, or now gets, blocks for so many tokens more.
    fn has_room(&mut self, id: SequenceId, more: usize) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return false;
        };
        let wanted = self.blocks.for_tokens(sequence.computed + more);
        while sequence.blocks.len() < wanted {
            match self.blocks.take() {
                Some(block) => sequence.blocks.push(block),
                None => return false,
            }
        }
        true
    }

    fn compute(&mut self, id: SequenceId, tokens: usize, step: &mut Step, left: &mut Left) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        let from = sequence.computed;
        sequence.computed += tokens;
        left.tokens -= tokens;
        if sequence.scored {
            left.logits -= tokens - 1;
        }
        self.turns.had_more(sequence.caller, tokens);
        step.chunks.push(Chunk {
            id,
            positions: from..sequence.computed,
            writes: sequence.left() == 0,
            scored: sequence.scored,
        });
        // Others that begin alike may read it in this very step: each layer writes the keys and values of
        // all before it reads any.
        let size = self.blocks.block_tokens();
        while (sequence.filled + 1) * size <= sequence.computed {
            let tokens = &sequence.tokens[sequence.filled * size..][..size];
            let block = sequence.blocks[sequence.filled];
            sequence.content = self.blocks.fill(block, sequence.content, tokens);
            sequence.filled += 1;
        }
    }

    fn take_back(&mut self, id: SequenceId, step: &mut Step) {
        self.wait_anew(id);
        step.taken_back.push(id);
    }

    fn wait_anew(&mut self, id: SequenceId) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        self.blocks.let_go(&sequence.blocks);
        sequence.blocks.clear();
        sequence.computed = 0;
        sequence.filled = 0;
        sequence.content = NOTHING;
        self.waiting.push(id);
    }
}

/// The order in which running sequences are served: the smaller priority, then who came first.
fn place(sequence: &Sequence, id: SequenceId) -> (i32, SequenceId) {
    (sequence.priority, id)
}

#[cfg(test)]
mod tests;
