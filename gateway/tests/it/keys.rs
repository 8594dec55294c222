//! Where keys come from: Secrets of a cluster, and a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use chandler_gateway::accounts::KeysFile;
use chandler_gateway::cluster::follow_keys;
use http::StatusCode;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use crate::accounts::{account, chats, key};
use crate::api_server::ApiServer;
use crate::support::{Door, chat, config, soon};
use crate::upstream::Upstream;

const CONNECTED: &str = r#"chandler_gateway_watch_connected{kind="secrets"} 1"#;
const LOST: &str = r#"chandler_gateway_watch_connected{kind="secrets"} 0"#;

/// A gateway with a table that follows the keys of the namespace `system`.
async fn following(api: &ApiServer, upstream: &Upstream) -> Door {
    let door = Door::open(config()).await;
    door.gateway.publish(chat(upstream.alone()));
    door.gateway.await_keys();
    let (config, gateway) = (api.config(), door.gateway.clone());
    tokio::spawn(async move { follow_keys(&config, "system", &gateway).await.unwrap() });
    door
}

fn secret(name: &str) -> Secret {
    account(name).to_secret(Some("system"))
}

/// Asks with a key until it is answered with `status`.
async fn becomes(door: &Door, name: &str, status: StatusCode) {
    let polled = async { while chats(door, name).await.status != status {} };
    soon(status.as_str(), polled).await;
}

#[tokio::test]
async fn keys_follow_the_labelled_secrets_of_one_namespace() {
    let upstream = Upstream::named("a").await;
    let api = ApiServer::start().await;
    api.hold(Some("secrets"));
    api.put(&secret("first"));
    let mut unlabelled = secret("plain");
    unlabelled.metadata.labels = Some(BTreeMap::new());
    let mut refused = secret("refused");
    refused.metadata.labels.as_mut().unwrap().extend([(
        chandler_crds::names::labels::API_KEY.to_owned(),
        "false".to_owned(),
    )]);
    let elsewhere = account("elsewhere").to_secret(Some("team"));
    for other in [&unlabelled, &refused, &elsewhere] {
        api.put(other);
    }
    let door = following(&api, &upstream).await;
    assert_eq!(
        chats(&door, "first").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(door.get("/readyz").await.json()["reason"], "NoKeys");
    api.hold(None);
    becomes(&door, "first", StatusCode::OK).await;
    for other in ["plain", "refused", "elsewhere"] {
        assert_eq!(chats(&door, other).await.status, StatusCode::UNAUTHORIZED);
    }
    let asked = api.requests();
    assert!(
        asked
            .iter()
            .all(|it| it.starts_with("/api/v1/namespaces/system/secrets?")),
        "{asked:?}"
    );

    api.put(&secret("second"));
    becomes(&door, "second", StatusCode::OK).await;
    api.delete(&secret("first"));
    becomes(&door, "first", StatusCode::UNAUTHORIZED).await;
    assert_eq!(chats(&door, "second").await.status, StatusCode::OK);
    api.delete(&secret("second"));
    let open = async { while door.chat().await.status != StatusCode::OK {} };
    soon("an open door", open).await;
}

#[tokio::test]
async fn a_secret_that_is_not_well_lets_nobody_in() {
    let upstream = Upstream::named("a").await;
    let api = ApiServer::start().await;
    let mut broken = secret("broken");
    let plain = [("weight".to_owned(), "heavy".to_owned())];
    broken.string_data = Some(BTreeMap::from(plain));
    api.put(&broken);
    let door = following(&api, &upstream).await;
    becomes(&door, "broken", StatusCode::UNAUTHORIZED).await;
    assert_eq!(door.chat().await.status, StatusCode::UNAUTHORIZED);
    api.put(&secret("broken"));
    becomes(&door, "broken", StatusCode::OK).await;
}

#[tokio::test]
async fn the_last_keys_work_while_the_api_server_is_away() {
    let upstream = Upstream::named("a").await;
    let mut api = ApiServer::start().await;
    api.put(&secret("team"));
    let door = following(&api, &upstream).await;
    becomes(&door, "team", StatusCode::OK).await;
    door.metric(CONNECTED).await;
    api.stop().await;
    door.metric(LOST).await;
    assert_eq!(chats(&door, "team").await.status, StatusCode::OK);
    assert_eq!(door.chat().await.status, StatusCode::UNAUTHORIZED);
    api.delete(&secret("team"));
    api.put(&secret("next"));
    api.forget();
    api.begin().await;
    becomes(&door, "next", StatusCode::OK).await;
    assert_eq!(chats(&door, "team").await.status, StatusCode::UNAUTHORIZED);
}

/// The Secrets of these accounts as one file.
fn file_of(names: &[&str]) -> String {
    let documents = names.iter().map(|name| {
        let secret: Value = serde_json::to_value(secret(name)).unwrap();
        // JSON is YAML.
        format!("---\n{secret}\n")
    });
    documents.collect()
}

#[tokio::test]
async fn keys_follow_a_file_and_outlive_its_faults() {
    let upstream = Upstream::named("a").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    let door = Arc::new(Door::open(config()).await);
    door.gateway.publish(chat(upstream.alone()));
    for (text, reason) in [(None, "UnreadableKeysFile"), (Some(""), "EmptyKeysFile")] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = KeysFile::open(&path, &door.gateway).await.unwrap_err();
        assert_eq!(error.reason(), reason);
    }
    std::fs::write(&path, file_of(&["one", "two"])).unwrap();
    let file = KeysFile::open(&path, &door.gateway).await.unwrap();
    for (name, status) in [
        ("one", StatusCode::OK),
        ("two", StatusCode::OK),
        ("three", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(chats(&door, name).await.status, status, "{name}");
    }
    let following = tokio::spawn(file.follow());
    // A file that is cut short opens nothing; the next good one counts.
    std::fs::write(&path, "").unwrap();
    std::fs::write(&path, file_of(&["two", "three"])).unwrap();
    becomes(&door, "three", StatusCode::OK).await;
    assert_eq!(chats(&door, "one").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(chats(&door, "two").await.status, StatusCode::OK);
    assert!(!file_of(&["one"]).contains(&key("one")));
    following.abort();
}
