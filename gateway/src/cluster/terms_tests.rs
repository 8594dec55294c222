//! What a model's route says besides where its requests go.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use chandler_core::traffic::route::SLOTS;
use chandler_crds::status::StartupTimes;
use chandler_crds::{ModelDeployment, spec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use super::table::table;
use super::table_tests::{model, unseen};

#[test]
fn the_spec_tells_how_long_a_request_may_take() {
    let mut object = unseen("a", "m", 1);
    let told = |object: &ModelDeployment| {
        let routing = table([object], []);
        routing.table.models["m"].request_timeout.as_secs()
    };
    assert_eq!(told(&object), 600);
    for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("48h", 600)] {
        object.spec.server = Some(spec::Server {
            request_timeout: Some(text.parse().unwrap()),
            ..spec::Server::default()
        });
        // A spec that is refused leaves a model that is served already as it is.
        object.status = model(("a", "m"), 1, "m", &[]).status;
        assert_eq!(told(&object), seconds, "{text}");
    }
}

#[test]
fn the_spec_tells_the_slots_and_the_newest_start_how_long_one_takes() {
    let mut object = model(
        ("a", "m"),
        1,
        "m",
        &[("old", 0), ("new", 100), ("unproven", 0)],
    );
    let told = |object: &ModelDeployment| {
        let routing = table([object], []);
        let route = &routing.table.models["m"];
        (route.slots, route.cold_start)
    };
    assert_eq!(told(&object), (SLOTS, None));
    object.spec.server = Some(spec::Server {
        max_batch: Some(32),
        ..spec::Server::default()
    });
    let revisions = &mut object.status.as_mut().unwrap().revisions;
    for (revision, second) in revisions.iter_mut().zip([5, 7, 9]) {
        revision.created_at = MicroTime(Timestamp::from_second(second).unwrap());
    }
    revisions[0].startup = Some(StartupTimes {
        load_ms: Some(90_000),
        ..StartupTimes::default()
    });
    revisions[1].startup = Some(StartupTimes {
        schedule_ms: Some(1),
        pull_ms: Some(20),
        fetch_ms: Some(300),
        load_ms: Some(4_000),
        warm_up_ms: Some(50_000),
        first_answer_ms: Some(600_000),
    });
    assert_eq!(told(&object), (32, Some(Duration::from_millis(654_321))));
}
