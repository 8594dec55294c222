//! What is seen of the server from outside while it works: its memory, and whether it says that it lives.

use super::client::head;
use crate::bench::proc;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MEMORY_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// Samples of a server's life.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    /// Resident memory in MiB, once a second.
    pub(super) memory: Vec<f64>,
    /// How long `/livez` took.
    pub(super) probes: Vec<Duration>,
}

/// Watches a server while `work` is done.
///
/// # Errors
/// When the server says that it does not live, or can't be seen.
pub(super) fn during<T>(
    server: SocketAddr,
    pid: u32,
    work: impl FnOnce() -> T,
) -> Result<(T, Vitals)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let memory = scope.spawn(|| follow_memory(pid, &over));
        let probes = scope.spawn(|| probe(server, &over));
        let done = work();
        over.store(true, Ordering::Relaxed);
        let join = |_| anyhow::anyhow!("a watcher panicked");
        let vitals = Vitals {
            memory: memory.join().map_err(join)??,
            probes: probes.join().map_err(join)??,
        };
        Ok((done, vitals))
    })
}

fn follow_memory(pid: u32, over: &AtomicBool) -> Result<Vec<f64>> {
    let mut samples = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.context("the server has gone")?;
        let kib = proc::size(&status, "VmRSS").context("the server has ended")?;
        #[allow(clippy::cast_precision_loss)]
        samples.push(kib as f64 / 1024.0);
        thread::sleep(MEMORY_INTERVAL);
    }
    Ok(samples)
}

/// Asks over one connection, again and again.
fn probe(server: SocketAddr, over: &AtomicBool) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: server\r\n\r\n")?;
        let (status, fields) = head(&mut reader)?;
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok());
        let mut body = vec![0; length.context("a body of no length")?];
        reader.read_exact(&mut body)?;
        times.push(began.elapsed());
        if status != 200 {
            bail!("/livez says {status}: {}", String::from_utf8_lossy(&body));
        }
        thread::sleep(PROBE_INTERVAL);
    }
    Ok(times)
}

/// The greatest part by which memory after the first `warm_up` samples differs from what it was then.
pub(super) fn deviation(memory: &[f64], warm_up: usize) -> f64 {
    let Some((first, rest)) = memory.get(warm_up..).and_then(<[f64]>::split_first) else {
        return f64::NAN;
    };
    rest.iter()
        .fold(0.0, |most, it| f64::max(most, (it / first - 1.0).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_with_what_it_was_after_the_warm_up() {
        assert_eq!(deviation(&[10.0, 64.0, 65.0, 60.0, 66.0], 1), 0.0625);
        assert_eq!(deviation(&[10.0, 100.0], 1), 0.0);
        assert!(deviation(&[10.0], 1).is_nan());
    }
}
