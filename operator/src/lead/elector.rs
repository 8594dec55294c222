use std::time::Duration;

use chandler_core::retry::Backoff;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{Move, Observed, Role, Tenure, Timing, decide};
use crate::health::Pulse;

/// Holds the lease for this process, or waits for it.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    namespace: String,
    name: String,
    me: String,
    timing: Timing,
    observed: Observed,
    role: Role,
    /// Whether the lease must be read before it is written: it is not as it was last seen.
    stale: bool,
    tenure: Tenure,
    pulse: Pulse,
}

/// Why a look at the lease came to nothing.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Elector {
    /// A candidate for the lease `name` in `namespace` that calls itself `me`. No two processes
    /// may call themselves the same at one time.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        me: &str,
        timing: Timing,
        pulse: Pulse,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            me: me.to_owned(),
            timing,
            observed: Observed {
                lease: None,
                since: Instant::now(),
            },
            role: Role::Candidate,
            stale: true,
            tenure: Tenure::new(),
            pulse,
        }
    }

    /// Tells whoever acts until when it may.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Returns once this process leads.
    pub async fn acquire(&mut self) {
        let mut refused = 0;
        loop {
            self.pulse.beat();
            match self.step().await {
                Ok(_) if self.leads() => return,
                Ok(_) => refused = 0,
                Err(error) => {
                    refused += 1;
                    tracing::warn!(%error, refused, lease = self.name, "could not ask for the lease");
                }
            }
            sleep(self.pause()).await;
        }
    }

    /// Renews the lease; returns once this process leads no more.
    pub async fn hold(&mut self) {
        while let Role::Leader { renewed } = self.role {
            self.pulse.beat();
            let due = renewed + self.timing.renew_deadline;
            sleep_until(due.min(Instant::now() + self.timing.retry)).await;
            match timeout_at(due, self.step()).await {
                Ok(Ok(Move::Lost)) | Err(_) => self.lose(),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = self.name, "could not renew the lease");
                }
            }
        }
    }

    /// Hands the lease over: whoever asks next has it at once.
    pub async fn release(&mut self) {
        let Role::Leader { .. } = self.role else {
            return;
        };
        self.lose();
        let mut lease = self.record(None);
        if let Some(spec) = &mut lease.spec {
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let written = self.limited(self.api.replace(&self.name, &params, &lease));
        match written.await {
            Ok(_) => tracing::info!(lease = self.name, "handed the lease over"),
            Err(error) => {
                tracing::warn!(%error, lease = self.name, "could not hand the lease over");
            }
        }
    }

    fn leads(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    fn lose(&mut self) {
        self.role = Role::Candidate;
        self.stale = true;
        self.tenure.end();
    }

    /// Candidates that started together shall not ask together for ever.
    fn pause(&self) -> Duration {
        let retry = Backoff {
            base: self.timing.retry,
            factor: 1.0,
            max: self.timing.retry,
            jitter: 0.1,
        };
        retry.delay(1, &self.me)
    }

    /// Looks at the lease where that is needed, and does what is to be done about it.
    async fn step(&mut self) -> Result<Move, StepError> {
        if self.stale || !self.leads() {
            let read = self.limited(self.api.get_opt(&self.name)).await?;
            self.observed.note(read, Instant::now());
            self.stale = false;
        }
        let now = Instant::now();
        let next = decide(&self.observed, self.role, &self.me, now, &self.timing);
        if matches!(next, Move::Create | Move::Take | Move::Renew) {
            // If it is not known what became of it, the lease is read again.
            self.stale = true;
            let written = self.write(next).await?;
            self.stale = false;
            self.observed.note(Some(written), Instant::now());
            // Others count from when they see the change, which is after it was sent.
            self.role = Role::Leader { renewed: now };
            self.tenure.extend(now + self.timing.renew_deadline);
        }
        Ok(next)
    }

    async fn write(&self, next: Move) -> Result<Lease, StepError> {
        let lease = self.record(Some(next));
        let params = PostParams::default();
        if next == Move::Create {
            self.limited(self.api.create(&params, &lease)).await
        } else {
            self.limited(self.api.replace(&self.name, &params, &lease))
                .await
        }
    }

    /// The lease as it shall be: held by this process, or by nobody. It carries the version that
    /// was seen, so that of two who write only one succeeds.
    fn record(&self, next: Option<Move>) -> Lease {
        let seen = self.observed.lease.clone().unwrap_or_default();
        let before = seen.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let transitions = before.lease_transitions.unwrap_or(0);
        let took = next == Some(Move::Take);
        let renewed = next == Some(Move::Renew);
        let spec = LeaseSpec {
            holder_identity: next.map(|_| self.me.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease.as_secs()).ok(),
            acquire_time: before
                .acquire_time
                .filter(|_| renewed)
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions.saturating_add(i32::from(took))),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            ..seen.metadata
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    /// An answer that comes late is none: half the deadline leaves time for a second try.
    async fn limited<T>(
        &self,
        asked: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, StepError> {
        let limit = self.timing.renew_deadline / 2;
        match timeout(limit, asked).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(StepError::Late(limit)),
        }
    }
}
