//! The replicas behind every proxy: one process that answers at once, or in the time and the way
//! that it is asked to.

use super::message::{self, Body};
use super::question::{self, Asked, Stream};
use super::reactor::Reactor;
use anyhow::{Context, Result};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What standard input is told as.
const ORDERS: u64 = 0;
/// Replicas at most: the tokens of their listeners end here.
const MAX_REPLICAS: u64 = 1000;
/// Longest sleep.
const IDLE: Duration = Duration::from_secs(3600);
/// Read at a time.
const PIECE: usize = 16 << 10;

/// Serves until its standard input ends. Each line there is an order: `start` opens one more
/// replica, and `drain N` ends one. What came of it is told on standard output.
///
/// # Errors
/// When an address can't be had.
pub(super) fn run() -> Result<()> {
    let mut upstream = Upstream {
        reactor: Reactor::new()?,
        replicas: Vec::new(),
        connections: HashMap::new(),
        last_token: MAX_REPLICAS,
        due: BinaryHeap::new(),
        answer: question::answer(question::SHORT_TOKENS),
        piece: vec![0; PIECE],
    };
    upstream.reactor.add(io::stdin().as_fd(), ORDERS)?;
    let mut ready = Vec::new();
    loop {
        upstream.reactor.wait(upstream.idle(), &mut ready)?;
        for token in &ready {
            match *token {
                ORDERS => {
                    if !upstream.orders()? {
                        return Ok(());
                    }
                }
                token if token <= MAX_REPLICAS => upstream.accept(token)?,
                token => upstream.serve(token),
            }
        }
        upstream.send_due();
    }
}

struct Upstream {
    reactor: Reactor,
    /// `None` is one that has ended, or is about to.
    replicas: Vec<Option<TcpListener>>,
    connections: HashMap<u64, Connection>,
    last_token: u64,
    /// The connections that are at work by the time at which they go on.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    answer: Vec<u8>,
    piece: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    replica: usize,
    read: Vec<u8>,
    work: Option<Asked>,
}

impl Upstream {
    fn idle(&self) -> Duration {
        let next = self.due.peek();
        next.map_or(IDLE, |Reverse((due, _))| {
            due.saturating_duration_since(Instant::now())
        })
    }

    /// Whether there may be more.
    fn orders(&mut self) -> Result<bool> {
        let mut piece = [0; 1024];
        // Orders are short and come one at a time, so that a read brings whole lines.
        let read = io::stdin().read(&mut piece).context("no more orders")?;
        for order in String::from_utf8_lossy(&piece[..read]).lines() {
            match order.split_once(' ') {
                None => self.start()?,
                Some((_, replica)) => self.drain(replica.parse().context("which replica?")?),
            }
        }
        Ok(read > 0)
    }

    fn start(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        listener.set_nonblocking(true)?;
        self.replicas.push(None);
        let replica = self.replicas.len();
        self.reactor.add(&listener, replica as u64)?;
        tell(replica - 1, "started", Some(listener.local_addr()?));
        self.replicas[replica - 1] = Some(listener);
        Ok(())
    }

    /// As a server ends well: it takes no more, and what is on the way is finished.
    fn drain(&mut self, replica: usize) {
        if let Some(listener) = self.replicas.get_mut(replica) {
            *listener = None;
        }
        self.connections
            .retain(|_, connection| connection.replica != replica || connection.is_at_work());
        self.tell_if_drained(replica);
    }

    fn tell_if_drained(&self, replica: usize) {
        let mut left = self.connections.values();
        if self.has_ended(replica) && !left.any(|connection| connection.replica == replica) {
            tell(replica, "drained", None);
        }
    }

    fn has_ended(&self, replica: usize) -> bool {
        self.replicas.get(replica).is_none_or(Option::is_none)
    }

    fn accept(&mut self, token: u64) -> Result<()> {
        let replica = usize::try_from(token)? - 1;
        while let Some(Some(listener)) = self.replicas.get(replica) {
            let Ok((stream, _)) = listener.accept() else {
                return Ok(());
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.last_token += 1;
            self.reactor.add(&stream, self.last_token)?;
            let connection = Connection {
                stream,
                replica,
                read: Vec::new(),
                work: None,
            };
            self.connections.insert(self.last_token, connection);
        }
        Ok(())
    }

    fn serve(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        match connection.serve(&mut self.piece, &self.answer) {
            Ok(Some(asked)) => {
                connection.work = Some(asked);
                let due = Instant::now() + first_due(asked);
                self.due.push(Reverse((due, token)));
            }
            Ok(None) => self.close_if_ended(token),
            Err(_) => self.remove(token),
        }
    }

    fn close_if_ended(&mut self, token: u64) {
        let connection = self.connections.get(&token);
        let ended = connection.is_some_and(|c| !c.is_at_work() && self.has_ended(c.replica));
        if ended {
            self.remove(token);
        }
    }

    fn remove(&mut self, token: u64) {
        if let Some(connection) = self.connections.remove(&token) {
            self.tell_if_drained(connection.replica);
        }
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, token))) = self.due.peek().copied() {
            if due > now {
                return;
            }
            self.due.pop();
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            match connection.go_on() {
                Ok(Some(interval)) => self.due.push(Reverse((due + interval, token))),
                Ok(None) => self.close_if_ended(token),
                Err(_) => self.remove(token),
            }
        }
    }
}

impl Connection {
    fn is_at_work(&self) -> bool {
        self.work.is_some() || !self.read.is_empty()
    }

    /// Reads what has come and answers what is short; what takes its time is begun.
    fn serve(&mut self, piece: &mut [u8], answer: &[u8]) -> io::Result<Option<Asked>> {
        match self.stream.read(piece) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.read.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let Some(head) = message::head(&self.read) else {
            return Ok(None);
        };
        let Body::Sized(length) = head.body else {
            return Err(ErrorKind::Unsupported.into());
        };
        let end = head.length + length;
        if self.read.len() < end {
            return Ok(None);
        }
        let asked = question::asked(&self.read[head.length..end]);
        self.read.drain(..end);
        let begin = match asked {
            None => answer,
            Some(Asked::Stream(_)) => question::STREAM_HEAD,
            Some(Asked::Whole(_)) => &[],
        };
        self.stream.write_all(begin)?;
        Ok(asked)
    }

    /// Sends a stream's next token, and with the last one the end, or a whole answer. When there is
    /// another token, in how long.
    fn go_on(&mut self) -> io::Result<Option<Duration>> {
        let stream = match &mut self.work {
            None => return Ok(None),
            Some(Asked::Stream(stream)) => stream,
            Some(Asked::Whole(stream)) => {
                let answer = question::answer(stream.tokens);
                self.work = None;
                self.stream.write_all(&answer)?;
                return Ok(None);
            }
        };
        stream.tokens = stream.tokens.saturating_sub(1);
        let mut bytes = question::chunk(question::token().as_bytes());
        let last = stream.tokens == 0;
        if last {
            bytes.extend(question::chunk(question::DONE));
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        self.stream.write_all(&bytes)?;
        let interval = stream.interval;
        if last {
            self.work = None;
        }
        Ok((!last).then_some(interval))
    }
}

/// A whole answer's only time is its end.
fn first_due(asked: Asked) -> Duration {
    match asked {
        Asked::Stream(_) => Duration::ZERO,
        Asked::Whole(Stream { tokens, interval }) => interval * tokens,
    }
}

fn tell(replica: usize, event: &str, addr: Option<SocketAddr>) {
    println!(
        "{}",
        json!({"event": event, "replica": replica, "addr": addr})
    );
}
