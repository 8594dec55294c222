//! Leader election, the deciding part: what to do about a lease, from what is known of it and what
//! time it is here. [`Elector`] does it.
//!
//! Two machines' clocks are never compared. A lease counts as held for its duration from when this
//! process first saw it as it is; a leader stops well before any other may take it.

mod elector;
mod tenure;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

pub use elector::Elector;
pub use tenure::Tenure;

/// How long things last; the defaults are those of Kubernetes' own components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A candidate takes a lease that did not change for this long.
    pub lease: Duration,
    /// A leader that could not renew for this long leads no more. Shorter than `lease`.
    pub renew_deadline: Duration,
    /// Between two looks at the lease, or two renewals.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What is known of the lease.
#[derive(Clone, Debug)]
pub struct Observed {
    /// As it was last read or written; `None` if there is none.
    pub lease: Option<Lease>,
    /// Since when, by the clock of this process, its record is as it is.
    pub since: Instant,
}

impl Observed {
    /// Takes note of a lease that was read or written. Its time begins anew only if the record
    /// changed: a label that someone sets renews nothing.
    pub fn note(&mut self, lease: Option<Lease>, now: Instant) {
        let record = |lease: &Option<Lease>| lease.as_ref().and_then(|lease| lease.spec.clone());
        if record(&self.lease) != record(&lease) {
            self.since = now;
        }
        self.lease = lease;
    }

    /// Who holds it. A lease that was handed over has no holder.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        spec.holder_identity
            .as_deref()
            .filter(|holder| !holder.is_empty())
    }

    /// When it may be taken from whoever holds it. Its own duration counts, since its holder was
    /// promised that one.
    fn expires(&self, timing: &Timing) -> Instant {
        let spec = self.lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let promised = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(timing.lease, Duration::from_secs);
        self.since + promised
    }
}

/// What this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It waits for the lease.
    Candidate,
    /// It leads.
    Leader {
        /// When its last renewal that succeeded was sent.
        renewed: Instant,
    },
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Make it, with this process as its holder.
    Create,
    /// Write this process in as its holder.
    Take,
    /// Write that this process still holds it.
    Renew,
    /// Leave it to its holder, until then at least.
    Wait(Instant),
    /// Stop leading.
    Lost,
}

/// Decides what to do about the lease.
#[must_use]
pub fn decide(observed: &Observed, role: Role, me: &str, now: Instant, timing: &Timing) -> Move {
    match role {
        Role::Leader { renewed } => lead(observed, renewed, me, now, timing),
        Role::Candidate => stand(observed, me, now, timing),
    }
}

fn lead(observed: &Observed, renewed: Instant, me: &str, now: Instant, timing: &Timing) -> Move {
    if now >= renewed + timing.renew_deadline {
        return Move::Lost;
    }
    match (&observed.lease, observed.holder()) {
        // Someone deleted it. Only one process can make it anew.
        (None, _) => Move::Create,
        (Some(_), Some(holder)) if holder == me => Move::Renew,
        (Some(_), _) => Move::Lost,
    }
}

fn stand(observed: &Observed, me: &str, now: Instant, timing: &Timing) -> Move {
    match (&observed.lease, observed.holder()) {
        (None, _) => Move::Create,
        (Some(_), None) => Move::Take,
        // An earlier life of this process held it, and has ended.
        (Some(_), Some(holder)) if holder == me => Move::Take,
        (Some(_), Some(_)) => {
            let expires = observed.expires(timing);
            if now >= expires {
                Move::Take
            } else {
                Move::Wait(expires)
            }
        }
    }
}
