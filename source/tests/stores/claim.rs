//! `pvc://`, with a folder in the place of a mounted claim.

use crate::setup::{Setup, WEIGHTS, assert_error, assert_whole, write_model};

pub(crate) async fn a_mounted_claim_is_used_in_place() {
    let claim = tempfile::tempdir().unwrap();
    write_model(&claim.path().join("models/tiny"), 1);
    let mut setup = Setup::new();
    let source = "pvc://weights/models/tiny";
    let error = setup.resolve(source).await.unwrap_err();
    assert_error(&error, "InvalidSetting", false, "CHANDLER_CLAIM");
    setup.set("CHANDLER_CLAIM", claim.path().to_str().unwrap());
    let lock = setup.resolve(source).await.unwrap();
    assert_eq!(lock.source, source);
    let model = setup.fetch(&lock).await.unwrap();
    assert_eq!(model.root, claim.path().join("models/tiny"));
    assert_whole(&lock, &model);
    assert!(!setup.cache_folder().exists());
    let file = format!("{source}/{WEIGHTS}");
    assert_eq!(setup.resolve(&file).await.unwrap().files.len(), 1);
    std::fs::write(model.root.join(WEIGHTS), "other").unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "SizeMismatch", false, WEIGHTS);
    let error = setup.resolve("pvc://weights/nothing").await.unwrap_err();
    assert_error(&error, "NotFound", false, "nothing");
}
