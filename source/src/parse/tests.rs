#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn hub(repo: &str, file: Option<&str>) -> Location {
    Location::Hub {
        repo: repo.into(),
        file: file.map(str::to_owned),
    }
}

const DIGEST: &str = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const DIGESTED: &str = "oci://r.example/a/n:v1@sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

fn bucket(key: &str) -> Location {
    Location::Bucket {
        bucket: "bucket".into(),
        key: key.into(),
    }
}

fn image(registry: &str, tag: Option<&str>, digest: Option<&str>) -> Location {
    Location::Registry {
        image: Image {
            registry: registry.into(),
            repository: "a/n".into(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        },
    }
}

fn claim(path: &str) -> Location {
    Location::Claim {
        claim: "claim".into(),
        path: path.into(),
    }
}

#[test]
fn the_forms_that_work() {
    let table = [
        ("hf://org/name", hub("org/name", None)),
        ("hf://org/name/", hub("org/name", None)),
        (
            "hf://o-g/n_a.me/q/f.gguf",
            hub("o-g/n_a.me", Some("q/f.gguf")),
        ),
        (
            "file:///m/a%20b",
            Location::File {
                path: "/m/a b".into(),
            },
        ),
        (
            "file:///m/a b",
            Location::File {
                path: "/m/a b".into(),
            },
        ),
        (
            "https://h:1/a/m.gguf",
            Location::Web {
                url: Url::parse("https://h:1/a/m.gguf").unwrap(),
            },
        ),
        ("s3://bucket", bucket("")),
        ("s3://bucket/a/b/", bucket("a/b")),
        ("s3://bucket/a/m x.gguf", bucket("a/m x.gguf")),
        ("oci://r.example/a/n", image("r.example", None, None)),
        (
            "oci://localhost:1/a/n:v1",
            image("localhost:1", Some("v1"), None),
        ),
        (DIGESTED, image("r.example", Some("v1"), Some(DIGEST))),
        ("pvc://claim", claim("")),
        ("pvc://claim/a/m.gguf", claim("a/m.gguf")),
    ];
    for (text, location) in table {
        let source = Source::parse(text).unwrap();
        assert_eq!((source.location(), source.as_str()), (&location, text));
    }
}

#[test]
fn the_forms_that_do_not_say_what_to_write() {
    let table = [
        ("", "InvalidSource", "no scheme"),
        ("./model", "InvalidSource", "no scheme"),
        ("hf://", "InvalidSource", "organisation and a name"),
        ("hf://name", "InvalidSource", "organisation and a name"),
        (
            "hf://org/name@main",
            "InvalidSource",
            "give it as `revision`",
        ),
        ("hf://org/..", "InvalidSource", "part of its name"),
        ("hf://org/name/../x", "InvalidSource", "can't be a file"),
        ("file://model", "InvalidSource", "must be absolute"),
        ("file://./model", "InvalidSource", "must be absolute"),
        ("file:///a?b", "InvalidSource", "%3F"),
        ("file:///a%00b", "InvalidSource", "NUL"),
        ("http://host/x.gguf", "UnsupportedScheme", "`http://`"),
        ("https://host/", "InvalidSource", "*.gguf"),
        ("https://host/m.gguf?sig=x", "InvalidSource", "query"),
        ("https://u:p@host/m.gguf", "InvalidSource", "credentials"),
        (
            "https://host/m-00001-of-00002.gguf",
            "InvalidSource",
            "several",
        ),
        ("https:///m.gguf", "InvalidSource", "*.gguf"),
        ("s3://", "InvalidSource", "bucket"),
        ("s3://b/x", "InvalidSource", "bucket"),
        ("s3://bucket/../x", "InvalidSource", "path"),
        ("oci://name:tag", "InvalidSource", "registry"),
        ("oci://org/name:tag", "InvalidSource", "registry"),
        ("oci://r.example/Name", "InvalidSource", "lower-case"),
        ("oci://r.example/n:", "InvalidSource", "tag"),
        ("oci://r.example/n@sha256:12", "InvalidSource", "digest"),
        ("pvc://Claim/x", "InvalidSource", "claim"),
        ("pvc://claim/../x", "InvalidSource", "path"),
        ("gs://bucket/key", "UnsupportedScheme", "`gs://`"),
        ("HF://org/name", "UnsupportedScheme", "`HF://`"),
        ("a b://x", "InvalidSource", "not a scheme"),
    ];
    for (text, reason, words) in table {
        let error = Source::parse(text).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.reason(), reason, "{text}: {message}");
        assert!(message.contains(words), "{text}: {message}");
        assert!(message.contains("file:///absolute/path"), "{message}");
        assert!(!error.is_transient());
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_text_after_a_scheme_too(scheme in "hf|file|s3|https|oci|pvc|[a-z]{0,4}", rest in "\\PC{0,80}|[/.%@a-z0-9]{0,80}|/\\PC*") {
        check(&format!("{scheme}://{rest}"))?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match Source::parse(text) {
        Ok(source) => {
            prop_assert_eq!(source.as_str(), text);
            match source.location() {
                Location::File { path } => prop_assert!(path.is_absolute()),
                Location::Hub { repo, file } => {
                    prop_assert_eq!(repo.split('/').count(), 2);
                    prop_assert!(file.as_deref().is_none_or(is_safe_path));
                }
                Location::Web { url } => {
                    prop_assert!(url.scheme() == "https" && url.has_host());
                    let name = url.path().rsplit('/').next();
                    prop_assert!(name.is_some_and(is_safe_path));
                }
                Location::Bucket { key: path, .. } | Location::Claim { path, .. } => {
                    prop_assert!(path.is_empty() || is_safe_path(path));
                }
                Location::Registry { image } => {
                    prop_assert!(!image.registry.is_empty() && !image.repository.is_empty());
                }
            }
        }
        Err(error) => prop_assert!(error.to_string().len() < 1200),
    }
    Ok(())
}
