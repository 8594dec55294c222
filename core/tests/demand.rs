//! What status tells of models that rest, and of who may ask.

mod common;

use chandler_core::snapshot::{GatewaysSeen, Snapshot};
use chandler_core::world::Outcome;
use common::{gateways, idle, locked, memory, proven, seen, spec, there, told, turn, weights};
use serde_json::json;

#[test]
fn a_model_at_rest_is_as_its_spec_says() {
    let spec = spec(json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}));
    let r = spec.revision.as_str();
    let world = Snapshot {
        gateways: Some(gateways(0, Some(300))),
        ..seen([(r, idle(Some(300)))], weights([(r, 100)]))
    };
    // In the turn that puts it to rest, and after.
    let turned = turn(&spec, &world, &memory([(r, proven())]), &Outcome::Done);
    let after = seen([(r, there(0, 0))], weights([]));
    let after = Snapshot {
        gateways: world.gateways.clone(),
        ..after
    };
    let rests = turn(&spec, &after, &memory([(r, proven())]), &Outcome::Done);
    for status in [&turned.status, &rests.status] {
        assert_eq!(
            told(status),
            "Ready=True:ScaledToZero Reconciling=False:Settled Stalled=False:Settled ModelResolved=True:Resolved ScalingActive=True:ScaledToZero AccessRestricted=False:NoApiKey"
        );
        assert_eq!(status.replica_summary.as_deref(), Some("0/0"));
    }
    assert_eq!(rests.wake_at, None, "a request asks for the next look");
    let paused = common::spec(json!({
        "autoscaling": {"minReplicas": 0, "maxReplicas": 3}, "paused": true,
    }));
    let status = turn(&paused, &world, &memory([(r, proven())]), &Outcome::Done).status;
    assert!(
        told(&status).starts_with("Ready=True:Answering"),
        "{}",
        told(&status)
    );
}

#[test]
fn a_revision_that_has_just_answered_has_just_been_asked() {
    let spec = spec(json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 3}}));
    let r = spec.revision.as_str();
    let world = Snapshot {
        gateways: Some(gateways(0, Some(999))),
        ..seen([(r, idle(Some(999)))], weights([]))
    };
    let status = turn(&spec, &world, &memory([(r, locked())]), &Outcome::Done).status;
    assert_eq!(status.replica_summary.as_deref(), Some("1/1"));
}

#[test]
fn why_no_load_is_told_stands_in_the_condition() {
    let spec = spec(json!({"autoscaling": {"maxReplicas": 3}}));
    let r = spec.revision.as_str();
    let held = "the count is held: no ready replica has told its load";
    for (untold, message) in [
        (None, held.to_owned()),
        (
            Some("the server is away"),
            format!("{held}: the server is away"),
        ),
    ] {
        let world = Snapshot {
            untold: untold.map(str::to_owned),
            ..seen([(r, there(1, 1))], weights([(r, 100)]))
        };
        let status = turn(&spec, &world, &memory([(r, proven())]), &Outcome::Done).status;
        let mut all = status.conditions.iter();
        let scaling = all.find(|it| it.type_ == "ScalingActive");
        let scaling = scaling.expect("whether the count follows the load");
        let told = (scaling.status.as_str(), scaling.reason.as_str());
        assert_eq!(told, ("False", "LoadUnknown"));
        assert_eq!(scaling.message, message);
    }
}

#[test]
fn whoever_may_ask_is_told() {
    let spec = spec(json!({}));
    let r = spec.revision.as_str();
    let access =
        |gateways: Option<GatewaysSeen>| {
            let world = Snapshot {
                gateways,
                ..seen([(r, there(1, 1))], weights([(r, 100)]))
            };
            let status = turn(&spec, &world, &memory([(r, proven())]), &Outcome::Done).status;
            assert!(told(&status).starts_with(
                "Ready=True:Answering Reconciling=False:Settled Stalled=False:Settled"
            ));
            let all = status.conditions.into_iter();
            let mut found = all.filter(|it| it.type_ == "AccessRestricted");
            found.next().map(|it| (it.status, it.reason, it.message))
        };
    let seen = |open| {
        Some(GatewaysSeen {
            open,
            ..gateways(0, None)
        })
    };
    assert_eq!(access(None), None);
    for (open, status, reason, words) in [
        (Some(true), "False", "NoApiKey", "chandler keys create NAME"),
        (
            Some(false),
            "True",
            "KeysRequired",
            "only callers with an API key",
        ),
        (None, "Unknown", "GatewaysSilent", "no gateway tells"),
    ] {
        let told = access(seen(open)).expect("told");
        assert_eq!((told.0.as_str(), told.1.as_str()), (status, reason));
        assert!(told.2.contains(words), "{}", told.2);
    }
}
