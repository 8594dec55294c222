#![allow(clippy::unwrap_used)]

use chandler_core::analysis::{Limits, Verdict};
use chandler_crds::names::metrics as names;

use super::*;
use crate::served::Served;

fn key() -> ModelKey {
    ModelKey {
        namespace: "team".to_owned(),
        name: "chat".to_owned(),
    }
}

/// A gateway that is open, and tells of one model.
fn text(waiting: u64, idle: u64) -> String {
    let model = "{model=\"team/chat\"}";
    let (waits, idles, open) = (
        names::GATEWAY_WAITING,
        names::GATEWAY_IDLE,
        names::GATEWAY_OPEN,
    );
    format!("{waits}{model} {waiting}\n{idles}{model} {idle}\n{open} 1\n")
}

fn gateways(address: &str) -> Gateways {
    let metrics = Metrics::new().unwrap();
    Gateways::new(address.to_owned(), Client::new(), metrics)
}

fn seconds(gateways: &Gateways) -> Option<u64> {
    gateways.seen(&key()).idle.map(|idle| idle.as_secs())
}

fn nobody() -> Looks {
    Looks::Of(BTreeSet::new())
}

#[tokio::test]
async fn what_a_name_stands_for_is_asked() {
    let gateway = Served::new(&text(2, 0)).await;
    let asked = gateways(&gateway.address.to_string());
    assert_eq!(asked.seen(&key()), GatewaysSeen::default());
    assert_eq!(asked.round().await, Looks::All);
    let expected = GatewaysSeen {
        waiting: 2,
        idle: Some(Duration::ZERO),
        open: Some(true),
    };
    assert_eq!(asked.seen(&key()), expected);
    gateway.tells(&text(0, 7));
    assert_eq!(asked.round().await, nobody());
    assert_eq!(asked.seen(&key()).waiting, 0);
    let told = asked.0.metrics.render().unwrap();
    assert!(told.contains("chandler_operator_gateways{state=\"answering\"} 1"));
    asked.forget();
    assert_eq!(asked.seen(&key()), GatewaysSeen::default());
}

#[tokio::test]
async fn one_that_fails_is_heard_of_and_leaves_idleness_unknown() {
    let (good, bad) = (Served::new(&text(1, 60)).await, Served::new("").await);
    let asked = gateways("unused:1");
    let both = BTreeSet::from([good.address, bad.address]);
    for (ways, words) in [("an error", "503"), ("no metrics", "line 1")] {
        bad.fails();
        if ways == "no metrics" {
            bad.tells("<html>");
        }
        let (told, why) = asked.ask(&both).await;
        let why = why.unwrap();
        assert!(why.starts_with(&bad.address.to_string()), "{why}");
        assert!(why.contains(words), "{ways}: {why}");
        asked.note(&told, Instant::now());
        assert_eq!(asked.seen(&key()).waiting, 1, "{ways}");
        assert_eq!(seconds(&asked), None, "{ways}");
    }
    bad.tells(&text(1, 50));
    let (told, why) = asked.ask(&both).await;
    assert_eq!(why, None);
    asked.note(&told, Instant::now());
    assert_eq!(asked.seen(&key()).waiting, 2);
    assert_eq!(seconds(&asked), Some(50));
}

#[tokio::test]
async fn what_is_old_is_not_told_and_what_follows_is_new_to_all() {
    let told = |text: &str| vec![Some(chandler_probe::samples(text).unwrap())];
    let asked = gateways("unused:1");
    let long_ago = Instant::now().checked_sub(FRESH).unwrap();
    asked.note(&told(&text(1, 60)), long_ago);
    assert_eq!(asked.seen(&key()), GatewaysSeen::default());
    assert_eq!(asked.note(&told(&text(1, 60)), Instant::now()), Looks::All);
    assert_eq!(seconds(&asked), Some(60));
    // A round in which nobody tells anything takes nothing away at once.
    assert_eq!(asked.note(&[None, None], Instant::now()), nobody());
    assert_eq!(asked.note(&[], Instant::now()), nobody());
    assert_eq!(seconds(&asked), Some(60));
}

#[tokio::test]
async fn a_turn_that_was_not_told_is_done_again_once() {
    let told = |text: &str| chandler_probe::samples(text).unwrap();
    let asked = gateways("unused:1");
    asked.note(&[Some(told(&text(0, 60))), None], Instant::now());
    assert_eq!(seconds(&asked), None);
    asked.remind(&key());
    let still = asked.note(&[Some(told(&text(0, 61))), None], Instant::now());
    assert_eq!(still, nobody());
    let all = [Some(told(&text(0, 62)))];
    assert_eq!(asked.note(&all, Instant::now()), Looks::Of([key()].into()));
    assert_eq!(asked.note(&all, Instant::now()), nobody());
}

#[tokio::test]
async fn a_name_that_stands_for_nothing_is_told() {
    let asked = gateways("gateways.invalid:1");
    assert_eq!(asked.round().await, nobody());
    let heard = asked.state().heard.clone().unwrap();
    assert_eq!((heard.answering, heard.silent), (0, 0));
    assert!(heard.why.is_some());
}

/// What the newer revision's traffic is held to at a step.
fn question(step: u32) -> Question {
    Question {
        revision: "new".to_owned(),
        from: "old".to_owned(),
        step,
        steps: 2,
        limits: Limits {
            error_rate: Some(0.01),
            min_requests: 20,
            ..Limits::default()
        },
        aside: None,
    }
}

/// What a gateway counted: of the newer revision so many answers, so many failures.
fn counted(epoch: &str, answered: u64, failed: u64) -> String {
    let others = 10 * (answered + failed);
    format!(
        r#"{{"team/chat": {{"epoch": "{epoch}", "revisions": {{
            "new": {{"answered": {answered}, "failed": {failed}}}, "old": {{"answered": {others}}}}}}}}}"#
    )
}

#[tokio::test]
async fn canaries_are_compared_while_a_turn_asks_and_looked_at_when_it_is_known() {
    let gateway = Served::new(&text(0, 0)).await;
    let asked = gateways(&gateway.address.to_string());
    gateway.counts(&counted("a", 0, 0));
    asked.round().await;
    assert_eq!(asked.compared(&key()), None, "nobody asked");
    let begun = asked.compare(&key(), Some(&question(1))).unwrap();
    assert_eq!((begun.requests, begun.verdict()), (0, Verdict::Open));
    gateway.counts(&counted("a", 10, 0));
    assert_eq!(asked.round().await, nobody());
    assert_eq!(asked.compared(&key()).unwrap().requests, 10);
    gateway.counts(&counted("a", 10, 40));
    assert_eq!(asked.round().await, Looks::Of([key()].into()));
    let seen = asked.compare(&key(), Some(&question(1))).unwrap();
    assert_eq!((seen.requests, seen.verdict()), (50, Verdict::Failed));
    assert_eq!(asked.round().await, nobody(), "it is known");
    gateway.counts("no JSON");
    let next = asked.compare(&key(), Some(&question(2))).unwrap();
    assert_eq!(asked.round().await, nobody());
    assert_eq!(asked.compared(&key()), Some(next));
    asked.gone(&key());
    assert_eq!(asked.compared(&key()), None);
}
