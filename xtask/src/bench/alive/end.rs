//! What becomes of those who are being answered when the server is told to stop.

use super::client::ask;
use super::question::{Dice, body, text};
use anyhow::{Context, Result};
use chandler_e2e::Server;
use chandler_e2e::process::signal_pid;
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

const STREAMS: u64 = 8;
/// So many that they are not over when the signal comes, and end well before the deadline.
const ANSWER_TOKENS: usize = 200;

/// Streams that did not end as they would have, of how many.
///
/// # Errors
/// When the server ends otherwise than it should.
pub(super) fn measure(server: Server, address: SocketAddr) -> Result<(usize, u64)> {
    let begun = Barrier::new(usize::try_from(STREAMS)? + 1);
    let lost = thread::scope(|scope| -> Result<usize> {
        let all: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let begun = &begun;
                scope.spawn(move || whole(address, 77_000 + stream, begun))
            })
            .collect();
        begun.wait();
        signal_pid(server.pid(), Signal::SIGTERM)?;
        let ends = all.into_iter().map(|stream| stream.join().ok());
        let mut lost = 0;
        for end in ends {
            match end.context("a client panicked")? {
                Ok(true) => {}
                Ok(false) => lost += 1,
                Err(error) => {
                    println!("  lost: {error:#}");
                    lost += 1;
                }
            }
        }
        Ok(lost)
    })?;
    server.stop()?;
    Ok((lost, STREAMS))
}

/// Whether a stream has all its tokens and its end. Its first event is waited for at the barrier.
fn whole(server: SocketAddr, seed: u64, begun: &Barrier) -> Result<bool> {
    let prompt = text(&mut Dice::new(seed), 24);
    let first = ask(server, &body(&prompt, ANSWER_TOKENS), None).and_then(|mut answer| {
        let first = answer.event()?;
        Ok((answer, first))
    });
    begun.wait();
    let (mut answer, first) = first?;
    let mut last = first.context("an empty stream")?;
    let mut finished = false;
    while let Some(event) = answer.event()? {
        finished |= event.contains("\"finish_reason\":\"length\"");
        last = event;
    }
    Ok(finished && last == "[DONE]")
}
