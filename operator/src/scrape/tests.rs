#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use chandler_core::load::Reading;
use kube_runtime::watcher::Event;
use serde_json::json;
use tokio::net::TcpListener;

use super::glance::LOOKS;
use super::model::Told;
use super::pods::{AT_ONCE, ask};
use super::*;
use crate::ledger::Watched;
use crate::served::{Served, load};

fn key(name: &str) -> ModelKey {
    ModelKey {
        namespace: "team".to_owned(),
        name: name.to_owned(),
    }
}

fn replica(uid: &str, address: SocketAddr) -> Replica {
    Replica {
        revision: "r".to_owned(),
        uid: uid.to_owned(),
        pod: format!("pod-{uid}"),
        address,
    }
}

impl Scraper {
    /// Notes that a replica which is asked told of so many requests at work.
    pub(crate) fn tell(&self, key: &ModelKey, uid: &str, running: f64, at: Duration) {
        let told = Told {
            reading: Reading {
                running,
                ..Reading::default()
            },
            idle: None,
        };
        let mut state = self.state();
        let model = state.models.get_mut(key).unwrap();
        let mut all = model.known_until();
        let replica = all.find_map(|(replica, _)| (replica.uid == uid).then(|| replica.clone()));
        drop(all);
        model.note(&replica.unwrap(), Some(told), at);
    }

    /// Notes that a turn sees at a moment what was told.
    pub(crate) fn see(&self, key: &ModelKey, at: Duration) {
        self.state().models.get_mut(key).unwrap().looked(at);
    }
}

fn scraper() -> Scraper {
    Scraper::new(Client::new(), Metrics::new().unwrap())
}

/// Replicas, and requests that run now and that have ended lately.
fn seen(scraper: &Scraper) -> Option<(u32, f64, f64)> {
    let load = scraper.load(&key("chat"), "r")?;
    Some((load.replicas, load.running, load.recent.ended))
}

fn counted(scraper: &Scraper, outcome: &str) -> u64 {
    let text = scraper.0.metrics.render().unwrap();
    let begin = format!("chandler_operator_scrapes_total{{outcome=\"{outcome}\"}} ");
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(&begin));
    value.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn replicas_that_a_turn_tells_of_are_asked_until_it_tells_of_others() {
    let (one, two) = (
        Served::new(&load(1, 0, 10)).await,
        Served::new(&load(2, 0, 0)).await,
    );
    let scraper = scraper();
    scraper.round(0).await;
    assert_eq!(seen(&scraper), None);
    scraper.register(&key("chat"), vec![replica("a", one.address)]);
    assert_eq!(seen(&scraper), None);
    scraper.round(0).await;
    assert_eq!(seen(&scraper), Some((1, 1.0, 0.0)));
    one.tells(&load(1, 0, 16));
    scraper.round(0).await;
    assert_eq!(seen(&scraper), Some((1, 1.0, 6.0)));
    // The pod is replaced by another, at another address or at the same one.
    scraper.register(&key("chat"), vec![replica("b", two.address)]);
    assert_eq!(seen(&scraper), None);
    scraper.round(0).await;
    assert_eq!(seen(&scraper), Some((1, 2.0, 6.0)));
    scraper.register(&key("chat"), vec![replica("c", two.address)]);
    two.tells(&load(0, 0, 500));
    scraper.round(0).await;
    assert_eq!(seen(&scraper), Some((1, 0.0, 6.0)), "its past is its own");
    assert_eq!((one.asked(), two.asked()), (2, 2));
    scraper.forget(&key("chat"));
    scraper.round(0).await;
    assert_eq!((seen(&scraper), two.asked()), (None, 2));
}

#[tokio::test]
async fn a_container_that_starts_anew_counts_from_its_start() {
    let one = Served::new(&load(0, 0, 1000)).await;
    let scraper = scraper();
    scraper.register(&key("chat"), vec![replica("a", one.address)]);
    for ended in [1000, 1004, 3, 5] {
        one.tells(&load(0, 0, ended));
        scraper.round(0).await;
    }
    assert_eq!(seen(&scraper), Some((1, 0.0, 9.0)));
}

#[tokio::test]
async fn who_tells_nothing_of_use_is_in_no_number() {
    let (good, bad) = (
        Served::new(&load(1, 0, 0)).await,
        Served::new(&load(1, 0, 0)).await,
    );
    let scraper = scraper();
    let replicas = vec![replica("a", good.address), replica("b", bad.address)];
    scraper.register(&key("chat"), replicas);
    let long = " ".repeat(5 << 20) + &load(1, 0, 0);
    let absurd = load(1, 0, 0).replace(" 1\n", " NaN\n");
    let half = load(1, 0, 0).replace("+Inf", "1");
    for (text, outcome) in [
        (Some(long), "failed"),
        (Some(absurd), "odd"),
        (None, "failed"),
        (Some(half), "odd"),
    ] {
        bad.fails();
        if let Some(text) = &text {
            bad.tells(text);
        }
        let (before, asked) = (counted(&scraper, outcome), bad.asked());
        while bad.asked() == asked {
            scraper.round(0).await;
        }
        assert_eq!(counted(&scraper, outcome), before + 1, "{text:.40?}");
        assert_eq!(seen(&scraper), Some((1, 1.0, 0.0)));
    }
    let text = scraper.0.metrics.render().unwrap();
    for (state, count) in [("fresh", 1), ("stale", 1)] {
        let line = format!("chandler_operator_replicas{{state=\"{state}\"}} {count}\n");
        assert!(text.contains(&line), "{text}");
    }
    scraper.forget_all();
    assert_eq!(seen(&scraper), None);
}

#[tokio::test]
async fn who_hangs_delays_nobodys_numbers() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = Served::new(&load(1, 0, 0)).await;
    let scraper = scraper();
    let mut replicas = vec![replica("z", good.address)];
    let hangs = hanging.local_addr().unwrap();
    replicas.extend((0..AT_ONCE - 1).map(|n| replica(&n.to_string(), hangs)));
    scraper.register(&key("chat"), replicas);
    let told = async {
        while seen(&scraper).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = told => {}
        _ = scraper.round(0) => panic!("the round waits for those who hang"),
    }
}

#[tokio::test]
async fn one_that_is_gone_is_not_noted_any_more() {
    let one = Served::new(&load(1, 0, 0)).await;
    let scraper = scraper();
    let there = replica("a", one.address);
    scraper.register(&key("chat"), vec![there.clone()]);
    let answer = ask(&Client::new(), &there).await;
    scraper.register(&key("chat"), Vec::new());
    scraper.note(&key("chat"), &there, answer);
    assert_eq!(seen(&scraper), None);
}

#[tokio::test]
async fn a_model_that_is_gone_is_forgotten() {
    let one = Served::new(&load(1, 0, 0)).await;
    let scraper = scraper();
    for name in ["chat", "other"] {
        scraper.register(&key(name), vec![replica("a", one.address)]);
    }
    scraper.ask_all(&Client::new()).await;
    assert!(scraper.load(&key("other"), "r").is_some());
    let (reader, mut writer) = kube_runtime::reflector::store::<Watched>();
    let chat = json!({"metadata": {"namespace": "team", "name": "chat"}});
    let chat: Watched = serde_json::from_value(chat).unwrap();
    writer.apply_watcher_event(&Event::Apply(chat));
    scraper.0.metrics.ledger().open(reader);
    scraper.ask_all(&Client::new()).await;
    assert_eq!(scraper.load(&key("other"), "r"), None);
    assert_eq!((seen(&scraper), one.asked()), (Some((1, 1.0, 0.0)), 3));
}

#[tokio::test]
async fn a_round_asks_for_few_looks_at_models_at_work() {
    let busy = Served::new(&load(1, 0, 0)).await;
    let quiet = Served::new(&load(0, 0, 70)).await;
    let scraper = scraper();
    let names: Vec<String> = (0..LOOKS + 3).map(|n| n.to_string()).collect();
    for name in &names {
        scraper.register(&key(name), vec![replica("a", busy.address)]);
    }
    scraper.register(&key("quiet"), vec![replica("a", quiet.address)]);
    let of = |looks: Looks| match looks {
        Looks::Of(keys) => keys,
        Looks::All => panic!("most of them are not at work"),
    };
    scraper.ask_all(&Client::new()).await;
    let later = scraper.moment().after(Duration::from_secs(3));
    let mut looked = of(scraper.looks(later));
    assert_eq!(looked.len(), LOOKS);
    looked.extend(of(scraper.looks(later)));
    assert_eq!(looked.len(), names.len(), "each has its turn");
    assert!(!looked.contains(&key("quiet")));
    assert_eq!(of(scraper.looks(later)).len(), 0);
}
