//! How far a long prompt slows those down who are being answered.

use super::client::{Answer, ask};
use super::question::{Dice, body, text};
use super::seconds_at;
use anyhow::{Result, bail};
use serde::Serialize;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Short streams at a time.
const STREAMS: u64 = 4;
const ANSWER_TOKENS: usize = 96;
/// Of the prompt that comes in.
const LONG_PROMPT: usize = 4000;
/// Of each stream, the gaps between tokens that are not looked at: others still begin.
const BEGINNING: usize = 8;
const SHARE: f64 = 0.95;

/// What the same streams saw without and with a long prompt, milliseconds between tokens at p95.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Stall {
    pub(super) alone: f64,
    pub(super) beside: f64,
}

/// Measures a number of times, alone and beside in turn.
///
/// # Errors
/// When an answer fails.
pub(super) fn measure(server: SocketAddr, repeats: u64) -> Result<Vec<Stall>> {
    let one = |repeat| -> Result<Stall> {
        let seed = 1_000_000 + 10 * repeat;
        let stall = if repeat % 2 == 0 {
            let alone = streams(server, seed, false)?;
            let beside = streams(server, seed + 1, true)?;
            Stall { alone, beside }
        } else {
            let beside = streams(server, seed, true)?;
            let alone = streams(server, seed + 1, false)?;
            Stall { alone, beside }
        };
        println!(
            "  alone {:.1} ms, beside {:.1} ms",
            stall.alone, stall.beside
        );
        Ok(stall)
    };
    (0..repeats).map(one).collect()
}

/// The p95 of the gaps of all streams, in milliseconds.
fn streams(server: SocketAddr, seed: u64, with_prompt: bool) -> Result<f64> {
    thread::scope(|scope| {
        let all: Vec<_> = (0..STREAMS)
            .map(|stream| scope.spawn(move || gaps(server, 1000 * seed + stream)))
            .collect();
        if with_prompt {
            let prompt = text(&mut Dice::new(1000 * seed + STREAMS), LONG_PROMPT);
            scope.spawn(move || ask(server, &body(&prompt, 1), None).map(Answer::text));
        }
        let mut gaps = Vec::new();
        for stream in all {
            let of_stream = stream.join();
            gaps.extend(of_stream.map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        gaps.sort_unstable();
        Ok(1e3 * seconds_at(&gaps, SHARE))
    })
}

/// The times between the tokens of one stream.
fn gaps(server: SocketAddr, seed: u64) -> Result<Vec<Duration>> {
    let prompt = text(&mut Dice::new(seed), 24);
    let mut answer = ask(server, &body(&prompt, ANSWER_TOKENS), None)?;
    if answer.status != 200 {
        let status = answer.status;
        bail!("status {status}: {}", answer.text());
    }
    let mut came = Vec::new();
    while answer.event()?.is_some() {
        came.push(Instant::now());
    }
    let gaps = came.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(gaps.skip(BEGINNING).collect())
}
