//! Keys that want more of a model than it has: each must get its share, and one with a long queue
//! must not keep another waiting.
//!
//! The model is one replica that works on [`SLOTS`] requests at once, as many as a replica is taken
//! for whose spec tells none. An answer takes a millisecond for each of its tokens, so that time
//! and not a processor is what runs out. Every key asks for answers of 50 to 150 tokens, all lengths
//! alike, unless told otherwise; each request allows for more tokens than it gets.
//!
//! What is under way is never broken off and no slot is kept free, so a light key's request waits at
//! least until the next slot is free: of eight, a third of an answer's mean time at the 95th
//! percentile. This is the least that whoever chooses whose turn it is can add. What it is in percent
//! depends on the light key's own answers. Here they differ as those of the other key do, and the
//! percentile rises by 11 % where the light key is always the next. Were they all of one length, it
//! would be a third; were they a fifth as long as the others, it would double. Twice the slots halve
//! the wait.

use super::api_server::ApiServer;
use super::checks::Check;
use super::crowd::{Crowd, Seen};
use super::key::Key;
use super::proxies::Proxy;
use super::question::{self, Stream, Usage};
use super::replicas::Replica;
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const SLOTS: usize = 8;
/// Requests that a greedy key always has, of which no more than the slots are under way.
const GREEDY: usize = 4 * SLOTS;
/// What one token takes.
const TOKEN: Duration = Duration::from_millis(1);
/// Tokens of an answer.
const TOKENS: RangeInclusive<u32> = 50..=150;
/// The light key's requests, of which one is under way at a time.
const LIGHT: usize = 21;
/// The share of the slots' time that a saturated model is at work.
const SATURATED: RangeInclusive<f64> = 0.9..=1.05;

const ONE: Key = Key {
    holder: "one",
    weight: 1,
};
const THREE: Key = Key {
    holder: "three",
    weight: 3,
};
/// Of the same weight as [`ONE`], against which it stands.
const LIGHT_KEY: Key = Key {
    holder: "light",
    weight: 1,
};

/// The most that the ratio of two shares may be off, and that a light key's latency may rise.
const SHARE_PERCENT: f64 = 10.0;
const LIGHT_PERCENT: f64 = 20.0;

/// Both checks, through a gateway of its own.
///
/// # Errors
/// When a request fails, or the model isn't saturated that should be.
pub(super) fn measure(program: &Path, replica: Replica, length: Duration) -> Result<Vec<Check>> {
    let api = ApiServer::start()?;
    let keys = [ONE, THREE, LIGHT_KEY];
    let gateway = Proxy::gateway_with_keys(program, &api, replica, SLOTS, &keys)?;
    Ok(vec![
        shares(gateway.addr, length)?,
        light(gateway.addr, length)?,
    ])
}

/// Two greedy keys. The one of weight 3 asks for answers twice as long, so that shares by requests
/// would not be those by tokens.
fn shares(gateway: SocketAddr, length: Duration) -> Result<Check> {
    println!("fair: two keys of weights 1 and 3, each with {GREEDY} requests at {SLOTS} slots");
    let twice = 2 * TOKENS.start()..=2 * TOKENS.end();
    let greedy = [
        requests(ONE, GREEDY, TOKENS),
        requests(THREE, GREEDY, twice),
    ];
    let seen = Crowd::new(gateway, greedy.concat(), Vec::new())?.run(length)?;
    expect_saturated(&seen, length)?;
    let (one, three) = seen.used.split_at(GREEDY);
    Ok(share_check(total(one), total(three)))
}

fn share_check(one: u64, three: u64) -> Check {
    #[allow(clippy::cast_precision_loss)]
    let ratio = three as f64 / one as f64;
    let wanted = f64::from(THREE.weight) / f64::from(ONE.weight);
    Check {
        name: "fair-share",
        value: (ratio / wanted - 1.0).abs() * 100.0,
        bound: SHARE_PERCENT,
        unit: "% off 1:3",
        of: format!("{one} and {three} tokens, 1:{ratio:.2}"),
    }
}

/// A light key alone, and beside a greedy one.
fn light(gateway: SocketAddr, length: Duration) -> Result<Check> {
    println!("fair: a light key alone, and beside one with {GREEDY} requests at {SLOTS} slots");
    let light = || requests(LIGHT_KEY, LIGHT, TOKENS);
    let alone = Crowd::new(gateway, Vec::new(), light())?.run(length)?;
    let greedy = requests(ONE, GREEDY, TOKENS);
    let beside = Crowd::new(gateway, greedy, light())?.run(length)?;
    expect_saturated(&beside, length)?;
    for (name, seen) in [("alone", &alone), ("beside it", &beside)] {
        let [half, most] = [0.5, 0.95].map(|share| seen.light_millis(share));
        println!("  {name}: {half:.1} ms at the median, {most:.1} ms at p95");
    }
    let [before, with] = [&alone, &beside].map(|seen| seen.light_millis(0.95));
    Ok(Check {
        name: "fair-light-p95",
        value: (with / before - 1.0) * 100.0,
        bound: LIGHT_PERCENT,
        unit: "% added",
        of: format!("{before:.1} ms alone, {with:.1} ms beside a key with {GREEDY} requests"),
    })
}

/// Requests of a key whose answers are of all lengths alike, in no order.
fn requests(key: Key, count: usize, tokens: RangeInclusive<u32>) -> Vec<Vec<u8>> {
    let request = |tokens| {
        let stream = Stream {
            tokens,
            interval: TOKEN,
        };
        question::timed(&key.text(), stream)
    };
    lengths(count, &tokens).map(request).collect()
}

fn lengths(count: usize, tokens: &RangeInclusive<u32>) -> impl Iterator<Item = u32> {
    // A prime that no count here is a multiple of: each place comes once.
    const STEP: usize = 13;
    let (least, most) = (*tokens.start(), *tokens.end());
    (0..count).map(move |index| {
        let place = (index * STEP % count) as f64 / count.saturating_sub(1).max(1) as f64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let above = (place * f64::from(most - least)).round() as u32;
        least + above
    })
}

/// The share of the slots' time that was used.
fn at_work(seen: &Seen, length: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let [tokens, slots] = [seen.answer_tokens() as f64, SLOTS as f64];
    tokens * TOKEN.as_secs_f64() / (slots * length.as_secs_f64())
}

/// Without it, nobody had to wait for a turn, and nothing was measured.
fn expect_saturated(seen: &Seen, length: Duration) -> Result<()> {
    let share = at_work(seen, length);
    if !SATURATED.contains(&share) {
        bail!(
            "the model's {SLOTS} slots should always be at work and nothing beside them, and \
             {:.0} % of their time was used",
            share * 100.0
        );
    }
    Ok(())
}

fn total(used: &[Usage]) -> u64 {
    used.iter().map(|used| used.prompt + used.answer).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_may_be_off_either_way() {
        for (three, met) in [(300, true), (329, true), (331, false), (269, false)] {
            assert_eq!(share_check(100, three).is_met(), met, "{three}");
        }
        assert!(!share_check(0, 300).is_met());
        assert!(!share_check(0, 0).is_met());
    }

    #[test]
    fn every_length_comes_once() {
        for count in [GREEDY, LIGHT] {
            let mut all: Vec<u32> = lengths(count, &TOKENS).collect();
            assert!(!all.is_sorted());
            all.sort_unstable();
            all.dedup();
            let ends = (all[0], all[count - 1]);
            assert_eq!((all.len(), ends), (count, (50, 150)));
        }
    }

    #[test]
    fn a_model_is_saturated_while_all_its_slots_are_at_work() {
        let seen = |answer| Seen {
            used: vec![Usage { prompt: 9, answer }; SLOTS],
            latencies: Vec::new(),
        };
        let second = Duration::from_secs(1);
        for (tokens, saturated) in [(1000, true), (880, false), (1100, false)] {
            let told = expect_saturated(&seen(tokens), second);
            assert_eq!(told.is_ok(), saturated, "{tokens}");
        }
        assert_eq!(total(&seen(1000).used), 8 * 1009);
    }
}
