use super::*;
use crate::Api;

const COMMIT: &str = "1111111111111111111111111111111111111111";

fn hub() -> (Hub, Api) {
    let hub = Hub::start("org/tiny").expect("a hub");
    let file = |path: &str| (path.to_owned(), b"hello\n".to_vec());
    hub.push(
        COMMIT,
        Files::from([file("a/b.json"), file("m.safetensors")]),
    );
    let api = Api::new(&hub.address.to_string());
    (hub, api)
}

#[test]
fn a_listing_tells_both_kinds_of_digest() {
    let (_hub, api) = hub();
    let listing = api.get("/api/models/org/tiny/revision/main?blobs=true");
    let listing = listing.expect("an answer").json();
    assert_eq!(listing["sha"], COMMIT);
    let small = &listing["siblings"][0];
    assert_eq!(small["rfilename"], "a/b.json");
    // As `git hash-object` and `sha256sum` have them.
    assert_eq!(small["blobId"], "ce013625030ba8dba906f756967f9e9ca394464a");
    assert!(small["lfs"].is_null());
    assert_eq!(
        listing["siblings"][1]["lfs"]["sha256"],
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    );
}

#[test]
fn faults_last_until_they_are_mended_and_cuts_happen_once() {
    let (hub, api) = hub();
    let path = format!("/org/tiny/resolve/{COMMIT}/a/b.json");
    let text = || api.get(&path).map(|reply| reply.text);
    hub.spoil("a/b.json", Fault::Corrupt);
    assert_eq!(text().expect("an answer"), "hello\u{b}");
    assert_eq!(text().expect("an answer"), "hello\u{b}");
    hub.mend("a/b.json");
    assert_eq!(text().expect("an answer"), "hello\n");
    hub.spoil("a/b.json", Fault::Cut(3));
    text().expect_err("a whole answer though it was cut");
    assert_eq!(text().expect("an answer"), "hello\n");
    assert_eq!(hub.requests_for("b.json").len(), 5);
    assert_eq!(hub.commits_asked(), BTreeSet::from([COMMIT.to_owned()]));
}

#[test]
fn a_gated_repository_answers_only_to_its_token() {
    let (hub, api) = hub();
    hub.gate("org/tiny", "secret");
    let path = format!("/org/tiny/resolve/{COMMIT}/a/b.json");
    assert_eq!(api.get(&path).expect("an answer").status, 401);
    let listing = "/api/models/org/tiny/revision/main";
    assert_eq!(api.get(listing).expect("an answer").status, 401);
}

#[test]
fn what_is_not_there_is_not_found() {
    let (_hub, api) = hub();
    for path in [
        "/org/tiny/resolve/main/a/b.json",
        "/api/models/org/other/revision/main",
        "/api/models/org/tiny/revision/dev",
    ] {
        assert_eq!(api.get(path).expect("an answer").status, 404, "{path}");
    }
}
