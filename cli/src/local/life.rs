//! One life of a replica: from the start of a server process until it ends or is asked to.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use chandler_core::world::Failure;
use chandler_crds::report::Report;
use chandler_gateway::Endpoint;
use chandler_probe::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::child::{Heard, Server};
use super::replica::{Post, Stop, asked};
use crate::output::{Event, Phase};

/// Between two looks at a server that starts: short, since a small model loads in a moment.
const STARTING_LOOK: Duration = Duration::from_millis(100);
/// Between two looks at a server that is ready.
const READY_LOOK: Duration = Duration::from_secs(2);
/// How long a look may take.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// Looks in a row that must fail before a ready replica is taken out of the traffic.
const UNREADY_AFTER: u32 = 3;
/// Looks in a row without a sign of life before the process is ended.
const DEAD_AFTER: u32 = 15;

/// How a life ended by itself.
pub(super) struct Ended {
    pub(super) failure: Failure,
    /// How long it had been ready.
    pub(super) ready_for: Duration,
}

/// A server process and what was heard of it.
pub(super) struct Life<'a> {
    post: &'a Post,
    number: u64,
    server: Server,
    addr: Option<SocketAddr>,
    said: Option<Failure>,
    ready_since: Option<Instant>,
    failed_looks: u32,
}

impl<'a> Life<'a> {
    /// # Errors
    /// The process can't be started.
    pub(super) fn begin(post: &'a Post, number: u64) -> Result<Self, Ended> {
        let config = &post.local.config;
        match Server::start(config, &post.worker, &post.name, &post.local.events) {
            Ok(server) => {
                post.enter(Phase::Starting, |view| view.pid = server.pid());
                Ok(Self {
                    post,
                    number,
                    server,
                    addr: None,
                    said: None,
                    ready_since: None,
                    failed_looks: 0,
                })
            }
            Err(error) => {
                let message = format!("{}: {error}", config.server.display());
                let failure = Failure {
                    reason: "SpawnFailed".to_owned(),
                    message,
                    transient: true,
                };
                Err(Ended {
                    failure,
                    ready_for: Duration::ZERO,
                })
            }
        }
    }

    /// Lives until the process ends (`Some`) or is asked to stop (`None`).
    pub(super) async fn run(&mut self, stop: &mut watch::Receiver<Stop>) -> Option<Ended> {
        let mut looks = every(STARTING_LOOK);
        loop {
            tokio::select! {
                heard = self.server.next() => match heard {
                    Heard::Said(said) => self.hear(said),
                    Heard::Ended(status) => return Some(self.ended(status)),
                },
                () = asked(stop, Stop::Drain) => return None,
                _ = looks.tick() => {
                    let was_ready = self.ready_since.is_some();
                    self.look().await;
                    if self.ready_since.is_some() != was_ready {
                        looks = every(READY_LOOK);
                    }
                    if self.failed_looks >= DEAD_AFTER {
                        return Some(self.dead());
                    }
                }
            }
        }
    }

    /// Asks the server to finish what it has; `limit` bounds how long it may take.
    pub(super) async fn drain(self, limit: impl Future<Output = ()>) {
        self.server.terminate();
        self.server.end(limit).await;
    }

    fn hear(&mut self, said: Report) {
        match said {
            Report::Listening { addr } => {
                let id = format!("{}.{}", self.post.name, self.number);
                self.addr = Some(addr);
                self.post
                    .note(|view| view.endpoint = Some(Endpoint { id, addr }));
            }
            Report::Failed {
                reason,
                message,
                transient,
            } => {
                self.said = Some(Failure {
                    reason,
                    message,
                    transient,
                });
            }
            // A server that serves neither resolves nor fetches for others, nor judges them.
            Report::Resolved { .. } | Report::Fetched { .. } | Report::Evaluated { .. } => {}
        }
    }

    /// Looks at the server's readiness once.
    async fn look(&mut self) {
        let Some(addr) = self.addr else { return };
        let client = &self.post.local.client;
        let path = if self.ready_since.is_some() {
            self.post.worker.readiness
        } else {
            self.post.worker.startup
        };
        match client.get(addr, path, LOOK_TIME).await {
            Ok((StatusCode::OK, _)) => self.is_ready(),
            Ok((_, told)) if self.ready_since.is_none() => {
                self.failed_looks = 0;
                self.loads(&told);
            }
            Ok(_) => self.is_unready(),
            Err(_) => {
                self.failed_looks += 1;
                if self.failed_looks >= UNREADY_AFTER {
                    self.is_unready();
                }
            }
        }
    }

    fn is_ready(&mut self) {
        self.failed_looks = 0;
        let ready = self.post.phase() == Phase::Ready;
        self.ready_since.get_or_insert_with(Instant::now);
        if !ready {
            self.post.enter(Phase::Ready, |view| view.failure = None);
        }
    }

    fn is_unready(&self) {
        if self.post.phase() == Phase::Ready {
            self.post.enter(Phase::Unready, |_| {});
        }
    }

    fn loads(&self, told: &Value) {
        let bytes = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.post.local.tell(Event::Load {
            replica: self.post.name.clone(),
            phase: told
                .get("phase")
                .and_then(Value::as_str)
                .unwrap_or("starting")
                .to_owned(),
            bytes_done: bytes("bytesDone"),
            bytes_total: bytes("bytesTotal"),
        });
    }

    fn ready_for(&self) -> Duration {
        self.ready_since
            .map(|since| since.elapsed())
            .unwrap_or_default()
    }

    fn ended(&mut self, status: std::io::Result<ExitStatus>) -> Ended {
        let how = match status {
            Ok(status) => format!("the server process ended: {status}"),
            Err(error) => format!("the server process was lost: {error}"),
        };
        let ended = Failure {
            reason: "ProcessEnded".to_owned(),
            message: how,
            transient: true,
        };
        Ended {
            failure: self.said.take().unwrap_or(ended),
            ready_for: self.ready_for(),
        }
    }

    /// The process that gives no sign of life is ended with this value.
    fn dead(&self) -> Ended {
        let message = format!("no sign of life in {DEAD_AFTER} looks");
        let failure = Failure {
            reason: "LivenessLost".to_owned(),
            message,
            transient: true,
        };
        Ended {
            failure,
            ready_for: self.ready_for(),
        }
    }
}

/// A look that comes late puts the next ones off: they do not pile up.
fn every(period: Duration) -> Interval {
    let mut looks = interval(period);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
