use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long lines are gathered before they are written. A write for each line would cost a
/// request more than all else that is done to tell of it.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes of lines that may wait to be written. Whoever reads them too slowly loses some, and no
/// request waits for it.
const MOST_WAITING: usize = 4 << 20;
/// How often the writer looks whether the log is still there.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end waits for the last lines. Whoever reads them may have stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Lines on their way to where they are read. Clones write to the same place.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    waiting: Mutex<Waiting>,
    any: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Who waits for all lines so far to be written.
    flushes: Vec<oneshot::Sender<()>>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog(..)")
    }
}

impl AccessLog {
    /// Writes lines to `output`, by a thread of its own that ends after the log is dropped. Only
    /// that thread ever waits for whoever reads them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(output: impl Write + Send + 'static) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            waiting: Mutex::default(),
            any: Condvar::new(),
        });
        let weak = Arc::downgrade(&inner);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_on(&weak, output))?;
        Ok(Self(inner))
    }

    /// Takes a line with its end. False if there is no room for it.
    pub(super) fn write(&self, line: &[u8]) -> bool {
        let mut waiting = self.0.lock();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            return false;
        }
        let first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if first {
            self.0.any.notify_one();
        }
        true
    }

    /// Waits until what was taken is written, or can't be soon.
    pub(super) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        self.0.lock().flushes.push(done);
        self.0.any.notify_one();
        if timeout(LAST_WORDS, is_done).await.is_err() {
            tracing::warn!("nobody takes the last lines of the access log");
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, once there is something.
    fn take(&self) -> Waiting {
        let nothing =
            |waiting: &mut Waiting| waiting.lines.is_empty() && waiting.flushes.is_empty();
        let waited = self.any.wait_timeout_while(self.lock(), LOOK, nothing);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !waiting.lines.is_empty() && waiting.flushes.is_empty() {
            drop(waiting);
            thread::sleep(GATHER);
            waiting = self.lock();
        }
        std::mem::take(&mut waiting)
    }
}

fn write_on(log: &Weak<Inner>, mut output: impl Write) {
    while let Some(inner) = log.upgrade() {
        let Waiting { lines, flushes } = inner.take();
        drop(inner);
        if let Err(error) = output.write_all(&lines).and_then(|()| output.flush()) {
            tracing::debug!(%error, "the access log can't be written");
        }
        for flush in flushes {
            // Who waited may have given up.
            let _ = flush.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Passes on what is written, once it is let to.
    struct Slow {
        go: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Let by a message, or by the sender's end for good.
            let _ = self.go.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>, AccessLog) {
        let (let_go, go) = mpsc::channel();
        let (written, got) = mpsc::channel();
        let log = AccessLog::new(Slow { go, written }).expect("a thread");
        (let_go, got, log)
    }

    #[tokio::test]
    async fn lines_come_whole_and_in_order_and_too_many_are_refused() {
        let (let_go, got, log) = slow();
        let line = |number: usize| format!("{number:>1023}\n").into_bytes();
        let mut taken = 0;
        // The first lines may be with the writer already when the rest fills the room.
        while log.write(&line(taken)) {
            taken += 1;
        }
        assert!((4096..3 * 4096).contains(&taken), "{taken}");
        drop(let_go);
        log.flush().await;
        drop(log);
        let all: Vec<u8> = got.iter().flatten().collect();
        let wanted: Vec<u8> = (0..taken).flat_map(line).collect();
        assert!(all == wanted, "{} bytes of {}", all.len(), wanted.len());
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_up_neither_requests_nor_the_end() {
        let (_let_go, _got, log) = slow();
        assert!(log.write(b"a line\n"));
        // Were the writer waited for, neither of these would end.
        log.flush().await;
        assert!(log.write(b"another\n"));
        log.flush().await;
    }
}
