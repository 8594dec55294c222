//! A connection to a store that can be cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const NEVER: u64 = u64::MAX;

struct Shared {
    store: String,
    /// Bytes that came from the store so far.
    passed: AtomicU64,
    /// The connection that brings `passed` beyond this ends there; then it is `NEVER` again.
    cut_at: AtomicU64,
    /// Whether a cut closes the gate for the connections after it.
    closes: AtomicBool,
    open: watch::Sender<bool>,
}

/// Passes bytes to and from a store.
pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) async fn start(store: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            store: store.to_owned(),
            passed: AtomicU64::new(0),
            cut_at: AtomicU64::new(NEVER),
            closes: AtomicBool::new(false),
            open: watch::Sender::new(true),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&serving)));
            }
        });
        Self { address, shared }
    }

    /// Bytes that came from the store so far.
    pub(crate) fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Ends a connection once `bytes` more have come from the store.
    pub(crate) fn cut_after(&self, bytes: u64) {
        let at = self.passed() + bytes;
        self.shared.cut_at.store(at, Ordering::SeqCst);
    }

    /// The same, and lets nothing pass on new connections until [`Proxy::let_pass`].
    pub(crate) fn cut_and_hold_after(&self, bytes: u64) {
        self.shared.closes.store(true, Ordering::SeqCst);
        self.cut_after(bytes);
    }

    /// Waits for the cut of [`Proxy::cut_and_hold_after`].
    pub(crate) async fn until_cut(&self) {
        let mut open = self.shared.open.subscribe();
        open.wait_for(|open| !open).await.unwrap();
    }

    pub(crate) fn let_pass(&self) {
        self.shared.open.send_replace(true);
    }
}

async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let mut open = shared.open.subscribe();
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(store) = TcpStream::connect(&shared.store).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_store).await;
    });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from_store.read(&mut buffer).await {
        let before = shared.passed.fetch_add(count as u64, Ordering::SeqCst);
        let cut_at = shared.cut_at.load(Ordering::SeqCst);
        if before + count as u64 >= cut_at {
            shared.cut_at.store(NEVER, Ordering::SeqCst);
            if shared.closes.swap(false, Ordering::SeqCst) {
                shared.open.send_replace(false);
            }
            break;
        }
        if to_client.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    // What was passed on arrives; then the connection ends.
    let _ = to_client.shutdown().await;
    asking.abort();
}
