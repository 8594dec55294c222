//! Many connections of clients in one thread.

use super::caller::{Answered, Caller};
use super::reactor::Reactor;
use anyhow::{Context, Result};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Read at a time.
const PIECE: usize = 64 << 10;
const OK: u16 = 200;

/// A request that is over.
pub(super) struct Finished {
    pub(super) index: usize,
    pub(super) due: Instant,
    answer: io::Result<Answered>,
}

impl Finished {
    /// What went wrong with it.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.answer {
            Ok(answer) if answer.status == OK => None,
            Ok(answer) => Some(format!("a request was answered with {}", answer.status)),
            Err(error) => Some(format!("a request was not answered: {error}")),
        }
    }
}

/// Connections, each with the request that it sends again and again.
pub(super) struct Callers {
    reactor: Reactor,
    targets: Vec<SocketAddr>,
    callers: Vec<Caller>,
    requests: Vec<Vec<u8>>,
    ready: Vec<u64>,
    piece: Vec<u8>,
    /// What the last turns have brought; whoever reads it takes it out.
    pub(super) finished: Vec<Finished>,
}

impl Callers {
    /// Opens a connection for each request, evenly to all targets.
    pub(super) fn connect(targets: &[SocketAddr], requests: Vec<Vec<u8>>) -> Result<Self> {
        let count = requests.len();
        let mut all = Self {
            reactor: Reactor::new()?,
            targets: targets.to_vec(),
            callers: Vec::new(),
            requests,
            ready: Vec::new(),
            piece: vec![0; PIECE],
            finished: Vec::new(),
        };
        for index in 0..count {
            let caller = all.open(index)?;
            all.callers.push(caller);
        }
        Ok(all)
    }

    fn open(&self, index: usize) -> Result<Caller> {
        let target = self.targets[index % self.targets.len()];
        let caller = Caller::connect(target).with_context(|| format!("can't reach {target}"))?;
        self.reactor.add(&caller.stream, index as u64)?;
        Ok(caller)
    }

    /// Sends this connection's request. Over a connection that has closed meanwhile, the request's
    /// failure is seen when it is read from.
    pub(super) fn send(&mut self, index: usize, due: Instant) -> Result<()> {
        let sent = self.callers[index].send(&self.requests[index], due);
        if sent.is_err() {
            self.callers[index] = self.open(index)?;
            self.callers[index].send(&self.requests[index], due)?;
        }
        Ok(())
    }

    /// Waits, for `longest` at most, and reads what has come. `body` is given each connection's
    /// pieces of a body.
    pub(super) fn turn(
        &mut self,
        longest: Duration,
        mut body: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.reactor.wait(longest, &mut ready)?;
        for token in &ready {
            let index = usize::try_from(*token)?;
            let caller = &mut self.callers[index];
            let due = caller.due;
            let answer = caller.receive(&mut self.piece, |piece| body(index, piece));
            let answer = answer.transpose();
            let Some(answer) = answer else {
                continue;
            };
            if answer.as_ref().map_or(true, |answer| answer.closes) {
                self.callers[index] = self.open(index)?;
            }
            // Without a request on it, a connection may close as it likes.
            if let Some(due) = due {
                self.finished.push(Finished { index, due, answer });
            }
        }
        self.ready = ready;
        Ok(())
    }
}
