#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use chandler_crds::names::labels;
use chandler_crds::status::{
    ModelDeploymentStatus, RevisionPhase, RevisionStatus, RolloutPhase, RolloutStatus,
};
use chandler_crds::{ModelDeployment, ModelDeploymentSpec, spec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::table::{Clash, Routing, table};

/// A model created at `created`, whose spec names no served name and whose status is absent.
pub(super) fn unseen(namespace: &str, name: &str, created: i64) -> ModelDeployment {
    let model = spec::Model {
        source: "hf://org/model".into(),
        ..spec::Model::default()
    };
    let spec = ModelDeploymentSpec {
        model,
        ..ModelDeploymentSpec::default()
    };
    let mut object = ModelDeployment::new(name, spec);
    object.metadata.namespace = Some(namespace.into());
    object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(created).unwrap()));
    object
}

/// A model whose status tells its served name and its weights by revision.
pub(super) fn model(
    key: (&str, &str),
    created: i64,
    name: &str,
    weights: &[(&str, i32)],
) -> ModelDeployment {
    let revisions = weights.iter().map(|&(name, weight)| RevisionStatus {
        name: name.into(),
        phase: RevisionPhase::Serving,
        weight,
        replicas: 1,
        ready_replicas: 1,
        created_at: MicroTime(Timestamp::UNIX_EPOCH),
        template: None,
        lock: None,
        answered_at: None,
        startup: None,
        capacity: None,
        draining_since: None,
        in_flight: None,
        failure: None,
        rejected: None,
    });
    let mut object = unseen(key.0, key.1, created);
    object.status = Some(ModelDeploymentStatus {
        served_name: Some(name.into()),
        revisions: revisions.collect(),
        ..ModelDeploymentStatus::default()
    });
    object
}

fn slice(key: (&str, &str, &str), endpoints: Vec<Endpoint>) -> EndpointSlice {
    let (namespace, model, revision) = key;
    let labels = [(labels::MODEL, model), (labels::REVISION, revision)];
    EndpointSlice {
        address_type: "IPv4".into(),
        endpoints: Some(endpoints),
        metadata: ObjectMeta {
            namespace: Some(namespace.into()),
            labels: Some(BTreeMap::from(labels.map(|(k, v)| (k.into(), v.into())))),
            ..ObjectMeta::default()
        },
        ports: Some(vec![port("metrics", 9), port("http", 8000)]),
    }
}

fn port(name: &str, port: i32) -> EndpointPort {
    EndpointPort {
        name: Some(name.into()),
        port: Some(port),
        ..EndpointPort::default()
    }
}

fn pod(name: &str, address: &str) -> Endpoint {
    Endpoint {
        addresses: vec![address.into()],
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            name: Some(name.into()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

fn with_conditions(pod: Endpoint, ready: Option<bool>, terminating: Option<bool>) -> Endpoint {
    let conditions = EndpointConditions {
        ready,
        terminating,
        // True as long as the pod answers its probe, also on its way out.
        serving: Some(true),
    };
    Endpoint {
        conditions: Some(conditions),
        ..pod
    }
}

/// Each name's model, and each revision as `hash weight id=addr…`.
fn told(routing: &Routing) -> Vec<String> {
    let models = routing.table.models.iter().map(|(name, route)| {
        let mut text = format!("{name}: {}", route.key);
        for revision in &route.revisions {
            text += &format!(" | {} {}", revision.revision, revision.weight);
            for endpoint in &revision.endpoints {
                text += &format!(" {}={}", endpoint.id, endpoint.addr);
            }
        }
        text
    });
    models.collect()
}

fn clash(name: &str, holder: &str, loser: &str) -> Clash {
    Clash {
        name: name.into(),
        holder: holder.into(),
        loser: loser.into(),
    }
}

const CHAT: (&str, &str) = ("team", "m");
const R1: (&str, &str, &str) = ("team", "m", "r1");

/// The endpoints of the one revision of one model, from these slices.
fn endpoints(slices: &[EndpointSlice]) -> Vec<String> {
    let routing = table(&[model(CHAT, 1, "chat", &[("r1", 100)])], slices);
    let route = &routing.table.models["chat"];
    let endpoints = route.revisions[0].endpoints.iter();
    endpoints.map(|e| format!("{}={}", e.id, e.addr)).collect()
}

#[test]
fn a_model_is_known_by_both_names_with_its_weights_and_replicas() {
    let models = [model(
        CHAT,
        1_700_000_000,
        "chat",
        &[("r1", 90), ("r2", 10), ("r3", -1)],
    )];
    let slices = [
        slice(R1, vec![pod("p2", "10.0.0.2"), pod("p1", "10.0.0.1")]),
        slice(("team", "m", "r2"), vec![pod("p3", "10.0.0.3")]),
        slice(("team", "m", "gone"), vec![pod("p4", "10.0.0.4")]),
    ];
    let routing = table(&models, &slices);
    let route = "team/m | r1 90 team/p1=10.0.0.1:8000 team/p2=10.0.0.2:8000 \
                 | r2 10 team/p3=10.0.0.3:8000 | r3 0";
    assert_eq!(
        told(&routing),
        [format!("chat: {route}"), format!("team/chat: {route}")]
    );
    let route = &routing.table.models["team/chat"];
    assert_eq!(route.served_name, "chat");
    assert_eq!(route.created, 1_700_000_000);
    assert!(routing.clashes.is_empty());
}

#[test]
fn a_replica_takes_requests_when_it_is_ready_and_stays() {
    let cases = [
        (None, None, true),
        (Some(true), None, true),
        (Some(true), Some(false), true),
        (None, Some(true), false),
        (Some(true), Some(true), false),
        (Some(false), None, false),
        (Some(false), Some(true), false),
    ];
    for (ready, terminating, wanted) in cases {
        let pod = with_conditions(pod("p", "10.0.0.1"), ready, terminating);
        let got = endpoints(&[slice(R1, vec![pod])]);
        assert_eq!(!got.is_empty(), wanted, "{ready:?} {terminating:?}");
    }
}

#[test]
fn a_slice_counts_for_its_own_revision_alone() {
    for other in [
        ("other", "m", "r1"),
        ("team", "other", "r1"),
        ("team", "m", "other"),
    ] {
        let found = endpoints(&[slice(other, vec![pod("p", "10.0.0.1")])]);
        assert!(found.is_empty(), "{other:?}: {found:?}");
    }
    let mut bare = slice(R1, vec![pod("p", "10.0.0.1")]);
    bare.metadata.labels = None;
    assert!(endpoints(&[bare]).is_empty());
}

#[test]
fn the_port_is_the_one_named_http() {
    let with = |ports: Option<Vec<EndpointPort>>| {
        let mut slice = slice(R1, vec![pod("p", "10.0.0.1")]);
        slice.ports = ports;
        endpoints(&[slice])
    };
    let found = with(Some(vec![port("a", 1), port("http", 65_535)]));
    assert_eq!(found, ["team/p=10.0.0.1:65535"]);
    let nameless = EndpointPort {
        port: Some(8000),
        ..EndpointPort::default()
    };
    for ports in [
        None,
        Some(vec![]),
        Some(vec![port("metrics", 8000)]),
        Some(vec![nameless]),
        Some(vec![port("http", 65_536)]),
        Some(vec![port("http", -1)]),
    ] {
        assert_eq!(with(ports.clone()), [""; 0], "{ports:?}");
    }
}

#[test]
fn slices_of_one_revision_add_up_and_a_pod_counts_once() {
    let first = slice(R1, vec![pod("p1", "10.0.0.1"), pod("p2", "10.0.0.2")]);
    let second = slice(R1, vec![pod("p2", "10.0.0.2"), pod("p3", "10.0.0.3")]);
    let other_family = slice(R1, vec![pod("p1", "fd00::1"), pod("p4", "fd00::4")]);
    let wanted = [
        "team/p1=10.0.0.1:8000",
        "team/p2=10.0.0.2:8000",
        "team/p3=10.0.0.3:8000",
        "team/p4=[fd00::4]:8000",
    ];
    let slices = [first, second, other_family];
    assert_eq!(endpoints(&slices), wanted);
    let reversed: Vec<_> = slices.into_iter().rev().collect();
    assert_eq!(endpoints(&reversed), wanted);
}

#[test]
fn an_endpoint_without_a_pod_is_its_address_and_one_without_an_address_is_none() {
    let mut no_pod = pod("p", "10.0.0.1");
    no_pod.target_ref = None;
    let mut no_address = pod("p", "");
    no_address.addresses = vec![];
    let found = endpoints(&[slice(R1, vec![no_pod, no_address, pod("p", "host.name")])]);
    assert_eq!(found, ["team/10.0.0.1:8000=10.0.0.1:8000"]);
}

#[test]
fn a_model_that_nobody_has_reconciled_is_known_by_its_spec() {
    let named = {
        let mut named = unseen("team", "b", 2);
        named.spec.model.served_name = Some("org/model".into());
        named
    };
    let invalid = {
        let mut invalid = unseen("team", "c", 3);
        invalid.spec.replicas = Some(-1);
        invalid
    };
    let routing = table(&[unseen("team", "a", 1), named, invalid], []);
    assert_eq!(
        told(&routing),
        [
            "a: team/a",
            "org/model: team/b",
            "team/a: team/a",
            "team/org/model: team/b"
        ]
    );
}

#[test]
fn a_spec_that_became_invalid_stays_what_its_status_says() {
    let mut broken = model(CHAT, 1, "chat", &[("r1", 100)]);
    broken.spec.replicas = Some(-1);
    broken.spec.model.served_name = Some("other".into());
    let routing = table(&[broken], []);
    assert_eq!(
        told(&routing),
        ["chat: team/m | r1 100", "team/chat: team/m | r1 100"]
    );
}

#[test]
fn a_model_on_its_way_out_leaves_its_name_to_another() {
    let mut going = model(("a", "m"), 1, "chat", &[]);
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let routing = table(&[going, model(("b", "m"), 2, "chat", &[])], []);
    assert_eq!(told(&routing), ["b/chat: b/m", "chat: b/m"]);
    assert!(routing.clashes.is_empty());
}

#[test]
fn the_oldest_has_the_name_and_the_others_the_longer_one() {
    let models = [
        model(("a", "young"), 9, "chat", &[]),
        model(("c", "old"), 1, "chat", &[]),
        model(("b", "as-old"), 1, "chat", &[]),
    ];
    let routing = table(&models, []);
    assert_eq!(
        told(&routing),
        [
            "a/chat: a/young",
            "b/chat: b/as-old",
            "c/chat: c/old",
            "chat: b/as-old",
        ]
    );
    let wanted = [
        clash("chat", "b/as-old", "a/young"),
        clash("chat", "b/as-old", "c/old"),
    ];
    assert_eq!(Vec::from_iter(routing.clashes.clone()), wanted);
    let reversed = table(models.iter().rev(), []);
    assert_eq!(reversed, routing);
}

#[test]
fn in_one_namespace_the_younger_has_no_name() {
    let models = [
        model(("a", "young"), 2, "chat", &[]),
        model(("a", "old"), 1, "chat", &[]),
    ];
    let routing = table(&models, []);
    assert_eq!(told(&routing), ["a/chat: a/old", "chat: a/old"]);
    let wanted = [
        clash("a/chat", "a/old", "a/young"),
        clash("chat", "a/old", "a/young"),
    ];
    assert_eq!(Vec::from_iter(routing.clashes), wanted);
}

#[test]
fn no_served_name_takes_the_longer_name_of_another_namespace() {
    let models = [
        model(("thief", "m"), 1, "team/chat", &[]),
        model(("team", "m"), 2, "chat", &[]),
    ];
    let routing = table(&models, []);
    assert_eq!(
        told(&routing),
        [
            "chat: team/m",
            "team/chat: team/m",
            "thief/team/chat: thief/m"
        ]
    );
    let wanted = [clash("team/chat", "team/m", "thief/m")];
    assert_eq!(Vec::from_iter(routing.clashes), wanted);
}

#[test]
fn prompts_are_asked_aside_from_when_the_operator_says_so_until_it_goes_on() {
    let shadow = |change: &dyn Fn(&mut ModelDeployment)| {
        let mut model = model(("team", "m"), 0, "m", &[("old", 100), ("new", 0)]);
        let rollout = json!({"shadow": {"percent": 5, "maxDifferent": 0.2}});
        model.spec.rollout = serde_json::from_value(rollout).unwrap();
        let at = "2026-01-01T00:00:00.000000Z";
        let told = json!({"revision": "new", "from": "old", "strategy": "blueGreen", "phase": "Progressing",
            "step": 0, "steps": 1, "stepBeganAt": at, "beganAt": at, "heldSince": at, "policy": "p"});
        let status = model.status.as_mut().unwrap();
        status.rollout = serde_json::from_value(told).unwrap();
        change(&mut model);
        let routing = table([&model], []);
        routing.table.models["m"].shadow.clone()
    };
    let rollout = |model: &mut ModelDeployment, change: &dyn Fn(&mut RolloutStatus)| {
        let status = model.status.as_mut().unwrap();
        change(status.rollout.as_mut().unwrap());
    };
    let told = shadow(&|_| {}).unwrap();
    assert_eq!((told.from.as_str(), told.to.as_str()), ("old", "new"));
    assert_eq!((told.share.percent, told.share.millionths), (5, 500_000));
    let changes: [&dyn Fn(&mut ModelDeployment); 4] = [
        &|model| model.spec.rollout = None,
        &|model| rollout(model, &|told| told.held_since = None),
        &|model| rollout(model, &|told| told.step = 1),
        &|model| rollout(model, &|told| told.phase = RolloutPhase::RolledBack),
    ];
    for change in changes {
        assert_eq!(shadow(change), None);
    }
}
