//! What is decided about a lease.

use std::time::Duration;

use chandler_operator::lead::{Move, Observed, Role, Timing, decide};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

const ME: &str = "me";

fn timing() -> Timing {
    Timing::default()
}

fn lease(holder: Option<&str>) -> Lease {
    Lease {
        spec: Some(LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    }
}

fn seen(lease: Option<Lease>, since: Instant) -> Observed {
    Observed { lease, since }
}

#[test]
fn a_candidate_takes_what_is_free_and_waits_for_what_is_held() {
    let now = Instant::now();
    let next = |lease| decide(&seen(lease, now), Role::Candidate, ME, now, &timing());
    assert_eq!(next(None), Move::Create);
    assert_eq!(next(Some(Lease::default())), Move::Take);
    assert_eq!(next(Some(lease(None))), Move::Take);
    assert_eq!(next(Some(lease(Some("")))), Move::Take, "handed over");
    assert_eq!(next(Some(lease(Some(ME)))), Move::Take, "an earlier life");
    let free = now + Duration::from_secs(15);
    assert_eq!(next(Some(lease(Some("other")))), Move::Wait(free));
}

#[test]
fn a_held_lease_is_taken_once_it_did_not_change_for_its_own_duration() {
    let since = Instant::now();
    let next = |lease: &Lease, after| {
        let observed = seen(Some(lease.clone()), since);
        let now = since + Duration::from_millis(after);
        decide(&observed, Role::Candidate, ME, now, &timing())
    };
    let mut held = lease(Some("other"));
    assert_eq!(
        next(&held, 14_999),
        Move::Wait(since + Duration::from_secs(15))
    );
    assert_eq!(next(&held, 15_000), Move::Take);
    let spec = held.spec.as_mut().unwrap();
    spec.lease_duration_seconds = Some(60);
    assert_eq!(
        next(&held, 15_000),
        Move::Wait(since + Duration::from_secs(60))
    );
    assert_eq!(next(&held, 60_000), Move::Take);
}

#[test]
fn a_leader_renews_until_its_deadline() {
    let renewed = Instant::now();
    let role = Role::Leader { renewed };
    let next = |lease, after| {
        let now = renewed + Duration::from_millis(after);
        decide(&seen(lease, renewed), role, ME, now, &timing())
    };
    assert_eq!(next(Some(lease(Some(ME))), 9_999), Move::Renew);
    assert_eq!(next(Some(lease(Some(ME))), 10_000), Move::Lost);
    assert_eq!(next(None, 9_999), Move::Create, "deleted by hand");
    assert_eq!(next(None, 10_000), Move::Lost);
    assert_eq!(next(Some(lease(Some("other"))), 1), Move::Lost);
    assert_eq!(next(Some(lease(None)), 1), Move::Lost);
}

#[test]
fn a_lease_counts_from_when_its_record_changed() {
    let before = Instant::now();
    let later = before + Duration::from_secs(5);
    let mut observed = seen(Some(lease(Some("other"))), before);
    let mut labelled = lease(Some("other"));
    labelled.metadata.resource_version = Some("7".to_owned());
    observed.note(Some(labelled.clone()), later);
    assert_eq!(observed.since, before, "a label renews nothing");
    assert_eq!(
        observed.lease,
        Some(labelled),
        "its version is needed to write it"
    );
    observed.note(Some(lease(Some("third"))), later);
    assert_eq!(observed.since, later);
    observed.note(None, later);
    assert_eq!(observed.holder(), None);
}

#[test]
fn a_leader_stops_before_others_may_begin() {
    let timing = timing();
    assert!(timing.renew_deadline + timing.retry < timing.lease);
}
