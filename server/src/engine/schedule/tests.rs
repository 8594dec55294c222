use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;

use super::*;

/// Tokens of a step.
const BUDGET: usize = 8;
const LIMITS: Limits = Limits {
    sequences: 3,
    blocks: 12,
    block_tokens: 2,
};

fn arrival(caller: CallerId, prompt: &[u32]) -> Arrival {
    Arrival {
        caller,
        priority: 0,
        prompt: prompt.to_vec(),
        scored: false,
    }
}

fn long(tokens: u32) -> Vec<u32> {
    (0..tokens).collect()
}

fn chunk(id: SequenceId, positions: Range<usize>, writes: bool) -> Chunk {
    Chunk {
        id,
        positions,
        writes,
        scored: false,
    }
}

/// Takes a step in which everyone who can writes `token`.
fn go(schedule: &mut Schedule, token: u32) -> Vec<Chunk> {
    let step = schedule.step(BUDGET);
    for chunk in step.chunks.iter().filter(|chunk| chunk.writes) {
        schedule.wrote(chunk.id, token);
    }
    step.chunks
}

#[test]
fn a_long_prompt_is_read_beside_those_that_write() {
    let mut schedule = Schedule::new(LIMITS);
    let first = schedule.arrive(arrival(1, &[50, 51]));
    assert_eq!(go(&mut schedule, 9), [chunk(first, 0..2, true)]);
    let long = schedule.arrive(arrival(1, &long(10)));
    let expected = [chunk(first, 2..3, true), chunk(long, 0..7, false)];
    assert_eq!(go(&mut schedule, 9), expected);
    let expected = [chunk(first, 3..4, true), chunk(long, 7..10, true)];
    assert_eq!(go(&mut schedule, 9), expected);
    let expected = [chunk(first, 4..5, true), chunk(long, 10..11, true)];
    assert_eq!(go(&mut schedule, 9), expected);
}

#[test]
fn whoever_had_least_is_next_and_rest_gives_no_credit() {
    let one_at_a_time = Limits {
        sequences: 1,
        ..LIMITS
    };
    let mut schedule = Schedule::new(one_at_a_time);
    let greedy: Vec<_> = (0..3)
        .map(|_| schedule.arrive(arrival(1, &[1, 2, 3])))
        .collect();
    assert_eq!(go(&mut schedule, 9)[0].id, greedy[0]);
    let modest = schedule.arrive(arrival(2, &[4]));
    schedule.end(greedy[0]);
    // It counts as if it had had as much; then who came first goes first.
    assert_eq!(go(&mut schedule, 9)[0].id, greedy[1]);
    schedule.end(greedy[1]);
    assert_eq!(go(&mut schedule, 9)[0].id, modest);
}

#[test]
fn the_smaller_priority_goes_first() {
    let mut schedule = Schedule::new(Limits {
        sequences: 1,
        ..LIMITS
    });
    schedule.arrive(arrival(1, &[1]));
    let urgent = schedule.arrive(Arrival {
        priority: -1,
        ..arrival(1, &[2])
    });
    assert_eq!(go(&mut schedule, 9)[0].id, urgent);
}

#[test]
fn a_known_beginning_is_not_read_again() {
    let mut schedule = Schedule::new(LIMITS);
    let first = schedule.arrive(arrival(1, &[1, 2, 3, 4, 5]));
    let second = schedule.arrive(arrival(2, &[1, 2, 3, 4, 6]));
    let expected = [chunk(first, 0..5, true), chunk(second, 4..5, true)];
    assert_eq!(go(&mut schedule, 9), expected);
    schedule.end(first);
    schedule.end(second);
    assert_eq!(schedule.cache_usage(), 0.0);
    let third = schedule.arrive(arrival(3, &[1, 2, 3, 7]));
    assert_eq!(go(&mut schedule, 9), [chunk(third, 2..4, true)]);
}

#[test]
fn where_the_cache_is_full_the_last_is_taken_back_and_goes_on_later() {
    let mut schedule = Schedule::new(Limits {
        blocks: 4,
        ..LIMITS
    });
    let first = schedule.arrive(arrival(1, &[1, 2]));
    let second = schedule.arrive(arrival(2, &[3]));
    let mut taken_back = Vec::new();
    for _ in 0..4 {
        let step = schedule.step(BUDGET);
        taken_back.extend(step.taken_back);
        for chunk in step.chunks {
            schedule.wrote(chunk.id, 9);
        }
    }
    assert_eq!(taken_back, [second]);
    assert_eq!((schedule.running.len(), schedule.waiting.len()), (1, 1));
    schedule.end(first);
    let [again] = &go(&mut schedule, 9)[..] else {
        panic!("one goes on");
    };
    assert_eq!(again.id, second);
    assert!(again.writes);
}

#[test]
fn of_a_scored_prompt_all_logits_are_wanted_and_no_more_than_there_is_memory_for() {
    let mut schedule = Schedule::new(LIMITS);
    let scored = Arrival {
        scored: true,
        ..arrival(1, &long(5))
    };
    let of = |id, positions: Range<usize>| Chunk {
        writes: positions.end >= 5,
        scored: true,
        id,
        positions,
    };
    let first = schedule.arrive(scored.clone());
    assert_eq!(go(&mut schedule, 9), [of(first, 0..2)]);
    let other = schedule.arrive(arrival(2, &long(5)));
    let expected = [of(first, 2..4), chunk(other, 4..5, true)];
    assert_eq!(go(&mut schedule, 9), expected);
    schedule.end(other);
    assert_eq!(go(&mut schedule, 9), [of(first, 4..5)]);
    assert_eq!(go(&mut schedule, 9), [of(first, 5..6)]);
    schedule.end(first);
    // What the cache knows of it does not count.
    let again = schedule.arrive(scored);
    assert_eq!(go(&mut schedule, 9), [of(again, 0..2)]);
}

#[test]
fn nobody_is_passed_for_ever() {
    let mut schedule = Schedule::new(Limits {
        sequences: 1,
        ..LIMITS
    });
    let greedy = schedule.arrive(arrival(0, &long(6)));
    go(&mut schedule, 9);
    let waits = schedule.arrive(arrival(0, &[1]));
    let mut now = greedy;
    for caller in 1..1000 {
        schedule.arrive(arrival(caller, &[2]));
        schedule.end(now);
        now = go(&mut schedule, 9)[0].id;
        if now == waits {
            return;
        }
    }
    panic!("it waits still");
}

/// What a test does to a schedule.
#[derive(Clone, Debug)]
enum Act {
    Arrive {
        caller: u64,
        priority: i32,
        prompt: Vec<u32>,
        scored: bool,
        answer: usize,
    },
    Steps(u8),
    Cancel(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few different tokens, so that beginnings meet.
    let prompt = prop::collection::vec(0..2u32, 1..14);
    let act = prop_oneof![
        3 => (0..3u64, 0..2i32, prompt, prop::bool::weighted(0.3), 1..10usize).prop_map(
            |(caller, priority, prompt, scored, answer)| {
                Act::Arrive { caller, priority, prompt, scored, answer }
            },
        ),
        3 => (1..4u8).prop_map(Act::Steps),
        1 => (0..20usize).prop_map(Act::Cancel),
    ];
    prop::collection::vec(act, 0..40)
}

/// What one sequence has to come to.
struct Wanted {
    tokens: Vec<u32>,
    end: usize,
    /// Tokens whose keys and values are in its blocks.
    computed: usize,
}

/// Plays acts, and checks every step against what a cache would hold.
struct Player {
    schedule: Schedule,
    limits: Limits,
    budget: usize,
    open: BTreeMap<SequenceId, Wanted>,
    /// By block: which tokens it holds, with all before them.
    cache: BTreeMap<BlockId, Vec<u32>>,
    done: usize,
}

impl Player {
    fn act(&mut self, act: Act) {
        match act {
            Act::Arrive {
                caller,
                priority,
                prompt,
                scored,
                answer,
            } => {
                let end = prompt.len() + answer;
                let id = self.schedule.arrive(Arrival {
                    caller,
                    priority,
                    prompt: prompt.clone(),
                    scored,
                });
                self.open.insert(
                    id,
                    Wanted {
                        tokens: prompt,
                        end,
                        computed: 0,
                    },
                );
            }
            Act::Steps(count) => (0..count).for_each(|_| self.step()),
            Act::Cancel(at) => {
                if let Some(id) = self.open.keys().nth(at).copied() {
                    self.schedule.end(id);
                    self.open.remove(&id);
                }
            }
        }
    }

    fn step(&mut self) {
        let writing: BTreeSet<_> = self
            .open
            .iter()
            .filter(|(_, wanted)| wanted.computed > 0 && wanted.computed + 1 == wanted.tokens.len())
            .map(|(id, _)| *id)
            .collect();
        let step = self.schedule.step(self.budget);
        let tokens: usize = step.chunks.iter().map(|chunk| chunk.positions.len()).sum();
        assert!(tokens <= self.budget.max(writing.len()));
        assert!(self.schedule.running.len() <= self.limits.sequences);
        let logits: usize = step.chunks.iter().map(Chunk::logits).sum();
        assert!(logits <= self.limits.sequences, "no memory for {logits}");
        assert!(
            step.chunks.is_empty() <= self.open.is_empty(),
            "nothing is done, and some wait"
        );
        for id in &step.taken_back {
            self.open.get_mut(id).expect("it is open").computed = 0;
        }
        for id in writing {
            let goes_on = step
                .chunks
                .iter()
                .any(|chunk| chunk.id == id && chunk.writes);
            assert!(goes_on || step.taken_back.contains(&id), "{id} stalls");
        }
        self.write(&step);
        for chunk in &step.chunks {
            self.read(chunk);
        }
        for chunk in step.chunks.into_iter().filter(|chunk| chunk.writes) {
            let wanted = self.open.get_mut(&chunk.id).expect("it is open");
            let token = wanted.tokens.iter().sum::<u32>() % 2;
            wanted.tokens.push(token);
            if wanted.tokens.len() == wanted.end {
                self.schedule.end(chunk.id);
                self.open.remove(&chunk.id);
                self.done += 1;
            } else {
                self.schedule.wrote(chunk.id, token);
            }
        }
    }

    /// All chunks write into their blocks, before any is read.
    fn write(&mut self, step: &Step) {
        let size = self.limits.block_tokens;
        for chunk in &step.chunks {
            let (tokens, blocks) = self.schedule.sequence(chunk.id).expect("it is there");
            for at in chunk.positions.clone() {
                let held = self.cache.entry(blocks[at / size]).or_default();
                held.truncate(at);
                if at % size == 0 {
                    *held = tokens[..at].to_vec();
                }
                held.push(tokens[at]);
            }
        }
    }

    /// A chunk finds in its blocks what came before it.
    fn read(&mut self, chunk: &Chunk) {
        let size = self.limits.block_tokens;
        let (tokens, blocks) = self.schedule.sequence(chunk.id).expect("it is there");
        for (at, block) in blocks.iter().enumerate() {
            let end = chunk.positions.end.min((at + 1) * size);
            if at * size < end {
                assert_eq!(self.cache[block][..end], tokens[..end], "{chunk:?}");
            }
        }
        let wanted = self.open.get_mut(&chunk.id).expect("it is open");
        assert_eq!(tokens, wanted.tokens);
        let is_known = !chunk.scored && wanted.computed == 0;
        assert!(wanted.computed == chunk.positions.start || is_known);
        wanted.computed = chunk.positions.end;
        assert_eq!(chunk.writes, wanted.computed == wanted.tokens.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn every_sequence_is_computed_once_in_order_within_all_bounds(
        acts in acts(), budget in 1..12usize, sequences in 1..5usize, block_tokens in 1..5usize,
    ) {
        // Room for one of the longest.
        let blocks = (24usize.div_ceil(block_tokens) + 1) as u32;
        let limits = Limits { sequences, blocks, block_tokens };
        let mut player = Player {
            schedule: Schedule::new(limits),
            limits,
            budget,
            open: BTreeMap::new(),
            cache: BTreeMap::new(),
            done: 0,
        };
        for act in acts {
            player.act(act);
        }
        // No starvation: with nobody coming, all end.
        let mut steps = 0;
        while !player.open.is_empty() {
            player.step();
            steps += 1;
            prop_assert!(steps < 10_000, "some wait for ever");
        }
        prop_assert_eq!(player.schedule.cache_usage(), 0.0);
        prop_assert!(player.schedule.running.is_empty() && player.schedule.waiting.is_empty());
    }
}
