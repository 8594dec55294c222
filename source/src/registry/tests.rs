#![allow(clippy::unwrap_used)]

use super::login::login_to;
use super::*;
use crate::parse::Location;

fn asked(text: &str, revision: Option<&str>) -> Result<(String, Option<String>), SourceError> {
    let source = Source::parse(text).unwrap();
    let Location::Registry { image } = source.location() else {
        panic!("{text} is of another scheme");
    };
    let (reference, pin) = reference(&source, image, revision)?;
    Ok((reference.whole(), pin))
}

#[test]
fn the_revision_is_a_tag_or_a_digest() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let other = format!("sha256:{}", "b".repeat(64));
    let plain = "oci://r.example/m/n";
    let by_tag = |tag: &str| (format!("r.example/m/n:{tag}"), None);
    assert_eq!(asked(plain, None).unwrap(), by_tag("latest"));
    assert_eq!(asked(plain, Some("main")).unwrap(), by_tag("latest"));
    assert_eq!(asked(plain, Some("v2")).unwrap(), by_tag("v2"));
    assert_eq!(asked(&format!("{plain}:v1"), None).unwrap(), by_tag("v1"));
    let pinned = (format!("r.example/m/n@{digest}"), Some(digest.clone()));
    for source in [
        format!("{plain}:v1"),
        format!("{plain}@{digest}"),
        plain.to_owned(),
    ] {
        assert_eq!(asked(&source, Some(&digest)).unwrap(), pinned, "{source}");
    }
    assert_eq!(asked(&format!("{plain}@{digest}"), None).unwrap(), pinned);
    for (source, revision) in [
        (format!("{plain}:v1"), "v2"),
        (format!("{plain}@{digest}"), other.as_str()),
        (plain.to_owned(), "a/b"),
        (plain.to_owned(), "sha256:abc"),
    ] {
        let error = asked(&source, Some(revision)).unwrap_err();
        assert_eq!(error.reason(), "InvalidRevision", "{source} {revision}");
    }
}

#[test]
fn logins_as_docker_writes_them() {
    let text = r#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "dTpwOnE="},
        "r.example:5000": {"username": "u", "password": "p"},
        "broken.example": {"auth": "!"}
    }, "credsStore": "x"}"#;
    let basic = |user: &str, password: &str| Some(Login::Basic(user.into(), password.into()));
    assert_eq!(login_to("docker.io", text), Ok(basic("u", "p:q")));
    assert_eq!(login_to("r.example:5000", text), Ok(basic("u", "p")));
    assert_eq!(login_to("other.example", text), Ok(None));
    assert!(login_to("broken.example", text).is_err());
    assert!(login_to("r.example", "secret").is_err_and(|problem| !problem.contains("secret")));
}

fn layer(annotations: &[(&str, &str)]) -> OciDescriptor {
    let annotations = annotations
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    OciDescriptor {
        digest: format!("sha256:{}", "c".repeat(64)),
        size: 7,
        annotations: Some(annotations.collect()),
        ..OciDescriptor::default()
    }
}

#[test]
fn a_layer_is_a_file_or_is_refused() {
    let source = Source::parse("oci://r.example/m").unwrap();
    let file = lock_layer(&source, &layer(&[(TITLE, "a.gguf")])).unwrap();
    assert_eq!((file.path.as_str(), file.size), ("a.gguf", 7));
    let mut other = layer(&[(TITLE, "a.gguf")]);
    other.digest = format!("sha512:{}", "c".repeat(128));
    let packed = layer(&[(TITLE, "folder"), (UNPACK, "true")]);
    for (layer, words) in [
        (layer(&[]), "has no title"),
        (packed, "packed folder"),
        (other, "no SHA-256"),
    ] {
        let error = lock_layer(&source, &layer).unwrap_err();
        assert_eq!(error.reason(), "InvalidResponse");
        let message = error.to_string();
        assert!(
            message.contains(words) && message.contains("oras push"),
            "{message}"
        );
    }
}
