//! The inference server with a fault, for tests of what is to be done about one. By the name that it is
//! called under it is `chandler-slow`, which takes its time with every answer, or `chandler-errs`, which
//! loses some requests.
//!
//! ```text
//! caller ──► relay (a child of this process, with the fault) ──► the server (this process from then on)
//! ```
#![forbid(unsafe_code)]

use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What it stands for.
const SERVER: &str = "/chandler-server";
/// Where the server listens instead.
const BEHIND: &str = "127.0.0.1:18080";
/// The argument before the address that it is to listen on.
const LISTEN: &str = "--listen";
/// The argument that makes it the relay.
const RELAY: &str = "relay";
/// How a request begins that is no probe's.
const REQUEST: &[u8] = b"POST /v1/";
/// What a slow one adds to each piece of an answer.
const DELAY: Duration = Duration::from_millis(60);
/// One in so many requests is lost.
const LOST: u32 = 4;

/// What is wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Slow,
    Errs,
}

fn main() -> Result<()> {
    let mut args = env::args();
    let own = args.next().context("a name of its own")?;
    let args: Vec<String> = args.collect();
    if let [first, listen] = args.as_slice()
        && first == RELAY
    {
        return relay(listen.parse()?, fault(&own)?);
    }
    let error = Command::new(SERVER).args(behind(&own, args)?).exec();
    Err(error).context(SERVER)
}

fn fault(own: &str) -> Result<Fault> {
    let name = Path::new(own).file_name().unwrap_or_default();
    Ok(match name.to_string_lossy().as_ref() {
        "chandler-slow" => Fault::Slow,
        "chandler-errs" => Fault::Errs,
        other => bail!("{other} is no fault: call it chandler-slow or chandler-errs"),
    })
}

/// The server's arguments, with another address if it listens at all: the relay has its own then.
fn behind(own: &str, mut args: Vec<String>) -> Result<Vec<String>> {
    let at = args.iter().position(|arg| arg == LISTEN);
    if let Some(listen) = at.and_then(|at| args.get_mut(at + 1)) {
        let relay = env::current_exe()?;
        let mut relay = Command::new(relay);
        relay.arg0(own).args([RELAY, listen]).spawn()?;
        BEHIND.clone_into(listen);
    }
    Ok(args)
}

/// Passes connections on for as long as the container is there.
fn relay(listen: SocketAddr, fault: Fault) -> Result<()> {
    let requests: &'static AtomicU32 = Box::leak(Box::default());
    for caller in TcpListener::bind(listen)?.incoming() {
        let caller = caller?;
        // Nobody is there yet, or no more: the caller finds the connection closed.
        let Ok(server) = TcpStream::connect(BEHIND) else {
            continue;
        };
        let (from, to) = (caller.try_clone()?, server.try_clone()?);
        thread::spawn(move || asked(from, to, fault, requests));
        thread::spawn(move || answered(server, caller, fault));
    }
    Ok(())
}

/// Passes on what a caller sends; a request that is to be lost ends both connections.
fn asked(mut caller: TcpStream, mut server: TcpStream, fault: Fault, requests: &AtomicU32) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = caller.read(&mut piece) {
        let piece = &piece[..length];
        let is_lost = || requests.fetch_add(1, Ordering::Relaxed) % LOST == LOST - 1;
        if matches!(fault, Fault::Errs) && piece.starts_with(REQUEST) && is_lost() {
            let _ = caller.shutdown(Shutdown::Both);
            break;
        }
        if server.write_all(piece).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// Passes on what the server answers.
fn answered(mut server: TcpStream, mut caller: TcpStream, fault: Fault) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = server.read(&mut piece) {
        if matches!(fault, Fault::Slow) {
            thread::sleep(DELAY);
        }
        if caller.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = caller.shutdown(Shutdown::Write);
}
