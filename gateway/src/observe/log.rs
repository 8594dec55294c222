use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long lines are gathered before they are written. A write for each line would cost a
/// request more than all else that is done to tell of it.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes of lines that may wait to be written. Whoever reads them too slowly loses some, and no
/// request waits for it.
const MOST_WAITING: usize = 4 << 20;

/// Lines on their way to where they are read. Clones write to the same place.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    waiting: Mutex<Vec<u8>>,
    any: Condvar,
    output: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog(..)")
    }
}

impl AccessLog {
    /// Writes lines to `output`, by a thread of its own that ends after the log is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(output: impl Write + Send + 'static) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            waiting: Mutex::default(),
            any: Condvar::new(),
            output: Mutex::new(Box::new(output)),
        });
        let weak = Arc::downgrade(&inner);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_on(&weak))?;
        Ok(Self(inner))
    }

    /// Takes a line with its end. False if there is no room for it.
    pub(super) fn write(&self, line: &[u8]) -> bool {
        let mut waiting = lock(&self.0.waiting);
        if waiting.len() + line.len() > MOST_WAITING {
            return false;
        }
        let first = waiting.is_empty();
        waiting.extend_from_slice(line);
        drop(waiting);
        if first {
            self.0.any.notify_one();
        }
        true
    }

    /// Writes what waits. Blocks.
    pub(super) fn flush(&self) {
        self.0.flush();
    }
}

fn write_on(log: &Weak<Inner>) {
    while let Some(inner) = log.upgrade() {
        // Woken now and then without lines, to see whether the log is still there.
        let waiting = lock(&inner.waiting);
        let waited = inner
            .any
            .wait_timeout_while(waiting, Duration::from_secs(1), |waiting| {
                waiting.is_empty()
            });
        let any = !waited.unwrap_or_else(PoisonError::into_inner).0.is_empty();
        if any {
            thread::sleep(GATHER);
            inner.flush();
        }
    }
}

impl Inner {
    fn flush(&self) {
        // In this order, so that lines stay in theirs.
        let mut output = lock(&self.output);
        let lines = std::mem::take(&mut *lock(&self.waiting));
        if let Err(error) = output.write_all(&lines).and_then(|()| output.flush()) {
            tracing::debug!(%error, "the access log can't be written");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.flush();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn lines_come_whole_and_in_order_and_too_many_are_refused() {
        let (let_go, go) = mpsc::channel();
        let (written, got) = mpsc::channel();
        let log = AccessLog::new(Slow { go, written }).expect("a thread");
        let line = |number: usize| format!("{number:>1023}\n").into_bytes();
        let mut taken = 0;
        // The first lines may be with the writer already when the rest fills the room.
        while log.write(&line(taken)) {
            taken += 1;
        }
        assert!((4096..3 * 4096).contains(&taken), "{taken}");
        drop(let_go);
        log.flush();
        drop(log);
        let all: Vec<u8> = got.iter().flatten().collect();
        let wanted: Vec<u8> = (0..taken).flat_map(line).collect();
        assert!(all == wanted, "{} bytes of {}", all.len(), wanted.len());
    }
}
