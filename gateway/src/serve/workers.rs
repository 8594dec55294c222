use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::upstream;

/// Threads that each answer the requests of some connections. A connection stays where it is put,
/// with the connections to replicas that its requests use: no request passes from one thread to
/// another, which costs more than all that is done to it.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections that it has.
    open: Arc<AtomicUsize>,
}

/// A connection's place at a worker.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// So many threads; they end after the drop. With none, connections are the caller's runtime's.
    ///
    /// # Errors
    /// When the system gives no more of them.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let workers = (1..=count).map(|number| Worker::start(number, stop.clone()));
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self {
            workers,
            _stop: stop.drop_guard(),
        })
    }

    /// Whether connections leave the caller's runtime.
    pub(super) fn any(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Has a connection served by the worker that has fewest.
    pub(super) fn spawn<F>(&self, connections: &mut JoinSet<()>, connection: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let open = |worker: &&Worker| worker.open.load(Ordering::Relaxed);
        let Some(Worker { runtime, open }) = self.workers.iter().min_by_key(open) else {
            connections.spawn(connection);
            return;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(open));
        let placed = async move {
            let _place = place;
            connection.await;
        };
        connections.spawn_on(placed, runtime);
    }
}

impl Worker {
    fn start(number: usize, stop: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                upstream::set_home(number);
                runtime.block_on(stop.cancelled());
            })?;
        Ok(Self {
            runtime: handle,
            open: Arc::default(),
        })
    }
}
