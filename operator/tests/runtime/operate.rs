//! The whole runtime: election, watches, turns.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chandler_crds::names::metrics;
use chandler_operator::controller::Scope;
use chandler_operator::events::Teller;
use chandler_operator::failpoint::Failpoints;
use chandler_operator::gateways::Gateways;
use chandler_operator::health::{Pulse, Standing};
use chandler_operator::lead::Elector;
use chandler_operator::metrics::Metrics;
use chandler_operator::run::Operator;
use chandler_operator::scrape::Scraper;
use http::Method;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake::{FakeApi, Line};
use crate::models::{Scripted, ScriptedWorlds, Sight, object, path};
use crate::served::Served;
use crate::{TIMING, soon, until};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/chandler/leases/operator";

/// One process of the operator.
struct Process {
    world: Arc<Scripted>,
    line: Line,
    metrics: Metrics,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Process {
    fn start(api: &FakeApi, me: &str, sights: impl IntoIterator<Item = Sight>) -> Self {
        Self::start_with(api, me, sights, None)
    }

    /// One that asks this gateway.
    fn start_with(
        api: &FakeApi,
        me: &str,
        sights: impl IntoIterator<Item = Sight>,
        gateway: Option<&Served>,
    ) -> Self {
        let line = Line::default();
        let client = api.client_on(&line);
        let world = Scripted::new(api);
        world.sees(sights);
        let (standing, seen) = watch::channel(Standing::Candidate);
        let metrics = Metrics::new().unwrap();
        let gateways = gateway.map(|gateway| {
            let (address, client) = (gateway.address.to_string(), chandler_probe::Client::new());
            Gateways::new(address, client, metrics.clone())
        });
        let operator = Operator {
            worlds: Arc::new(ScriptedWorlds(Arc::clone(&world))),
            gateways,
            scraper: Scraper::new(chandler_probe::Client::new(), metrics.clone()),
            scope: Scope {
                client: client.clone(),
                namespace: None,
            },
            teller: Teller::new(client.clone(), me),
            client: client.clone(),
            failpoints: Failpoints::new(None),
            metrics: metrics.clone(),
            standing,
            grace: Duration::from_millis(50),
        };
        let elector = Elector::new(client, "chandler", "operator", me, TIMING, Pulse::new());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move { operator.operate(elector, stopped).await });
        Self {
            world,
            line,
            metrics,
            standing: seen,
            stop,
            running,
        }
    }

    async fn is(&mut self, standing: Standing) {
        let is = self.standing.wait_for(|now| *now == standing);
        soon("its standing", is).await.unwrap();
    }

    fn looked(&self) -> usize {
        self.world.looks.load(Ordering::SeqCst)
    }

    fn looking(&self) -> usize {
        self.world.looking.load(Ordering::SeqCst)
    }

    async fn looks(&self) {
        until("a turn", || self.looking() > 0).await;
    }
}

#[tokio::test]
async fn only_the_leader_does_turns_and_a_successor_goes_on() {
    let api = FakeApi::default();
    api.put(&path("chat"), object("chat"));
    let mut first = Process::start(&api, "first", []);
    first.is(Standing::Leading).await;
    let written = || api.get(&path("chat")).unwrap().get("status").is_some();
    until("a status", written).await;
    let mut second = Process::start(&api, "second", []);
    let renewed = api.answered(&Method::PUT) + 10;
    until("renewals", || api.answered(&Method::PUT) >= renewed).await;
    assert_eq!(*second.standing.borrow(), Standing::Candidate);
    assert_eq!(second.world.looks.load(Ordering::SeqCst), 0);
    assert!(first.metrics.render().unwrap().contains("leader 1"));
    assert!(second.metrics.render().unwrap().contains("leader 0"));

    first.stop.cancel();
    soon("the first's end", first.running).await.unwrap();
    let handed_over = api.get(LEASE).unwrap();
    assert_eq!(handed_over["spec"].get("holderIdentity"), None);
    second.is(Standing::Leading).await;
    let looked = || second.world.looks.load(Ordering::SeqCst) > 0;
    until("a turn of the second", looked).await;
}

#[tokio::test]
async fn who_waits_at_a_gateway_asks_for_a_turn() {
    let api = FakeApi::default();
    for name in ["chat", "other"] {
        api.put(&path(name), object(name));
    }
    let waits = |count: u32| {
        let name = metrics::GATEWAY_WAITING;
        format!("{name}{{model=\"default/chat\"}} {count}\n")
    };
    let gateway = Served::new(&waits(0)).await;
    let process = Process::start_with(&api, "first", [], Some(&gateway));
    until("the turns of a start", || process.looked() == 2).await;
    let asked = gateway.asked() + 2;
    until("questions", || gateway.asked() >= asked).await;
    assert_eq!(process.looked(), 2, "nobody waits");
    gateway.tells(&waits(1));
    until("a turn of one model", || process.looked() == 3).await;

    gateway.tells(&format!("{}{} 1\n", waits(1), metrics::GATEWAY_OPEN));
    until("a turn of each", || process.looked() == 5).await;
    process.stop.cancel();
    soon("the end", process.running).await.unwrap();
    let told = process.metrics.render().unwrap();
    assert!(
        told.contains("chandler_operator_gateways{state=\"answering\"} 0"),
        "{told}"
    );
}

#[tokio::test]
async fn only_the_leader_asks_the_gateways() {
    let api = FakeApi::default();
    let (told, untold) = (Served::new("").await, Served::new("").await);
    let mut first = Process::start_with(&api, "first", [], Some(&told));
    first.is(Standing::Leading).await;
    let second = Process::start_with(&api, "second", [], Some(&untold));
    until("questions of the leader", || told.asked() >= 2).await;
    assert_eq!(untold.asked(), 0);
    first.stop.cancel();
    soon("the first's end", first.running).await.unwrap();
    until("questions of the second", || untold.asked() > 0).await;
    second.stop.cancel();
    soon("the second's end", second.running).await.unwrap();
}

#[tokio::test]
async fn a_turn_is_broken_off_when_the_lease_is_lost() {
    let api = FakeApi::default();
    api.put(&path("chat"), object("chat"));
    let mut process = Process::start(&api, "first", [Sight::Never]);
    process.looks().await;
    process.line.cut();
    process.is(Standing::Candidate).await;
    assert_eq!(process.looking(), 0, "the turn still runs");
    assert!(!process.running.is_finished(), "it stands by");
    process.line.mend();
    process.is(Standing::Leading).await;
}

#[tokio::test]
async fn a_turn_that_never_ends_does_not_keep_the_process() {
    let api = FakeApi::default();
    api.put(&path("chat"), object("chat"));
    let process = Process::start(&api, "first", [Sight::Never]);
    process.looks().await;
    process.stop.cancel();
    soon("the end", process.running).await.unwrap();
    assert_eq!(process.world.looking.load(Ordering::SeqCst), 0);
    let handed_over = api.get(LEASE).unwrap();
    assert_eq!(handed_over["spec"].get("holderIdentity"), None);
}
