//! Reads manifests as an API server would take them, and tells every fault at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_crds::ModelDeployment;
use chandler_crds::admission::{Refusal, admit};
use chandler_crds::spec::{Model, ModelDeploymentSpec};
use serde::Deserialize;
use serde_json::Value;

/// Where what names no namespace is.
const DEFAULT_NAMESPACE: &str = "default";
/// Most characters of a name that is made from a source.
const NAME_LENGTH: usize = 50;

/// A fault in what the user gave.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{}: {error}; give the path of a manifest", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: not YAML: {error}", path.display())]
    Syntax {
        path: PathBuf,
        error: serde_yaml::Error,
    },
    #[error("{}: has no ModelDeployment; write one, as in config/samples", path.display())]
    Empty { path: PathBuf },
    #[error("{place}: {refusal}")]
    Refused { place: String, refusal: Refusal },
    #[error("{place}: {field}: {message}")]
    Invalid {
        place: String,
        field: &'static str,
        message: String,
    },
    #[error("{first} and {second} are both `{key}`; give one of them another metadata.name")]
    SameKey {
        first: String,
        second: String,
        key: ModelKey,
    },
    #[error(
        "{first} and {second} both serve the name `{name}`; give one of them another spec.model.servedName"
    )]
    SameName {
        first: String,
        second: String,
        name: String,
    },
}

/// An object and where it stands, for messages.
struct Placed {
    place: String,
    object: ModelDeployment,
}

/// Texts of ConfigMaps by their keys, by namespace and name.
pub(crate) type Suites = BTreeMap<(String, String), BTreeMap<String, String>>;

/// What the manifests have.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) objects: Vec<ModelDeployment>,
    pub(crate) suites: Suites,
}

/// Reads everything that shall be served, and what it is judged by.
///
/// # Errors
/// Every fault of every file.
pub(crate) fn read(files: &[PathBuf], sources: &[String]) -> Result<Manifests, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut placed = Vec::new();
    let mut suites = Suites::new();
    for path in files {
        read_file(path, &mut placed, &mut suites, &mut faults);
    }
    for source in sources {
        admit_at(
            source.clone(),
            &from_source(source),
            Path::new("."),
            &mut placed,
            &mut faults,
        );
    }
    let valid = validated(&placed, &mut faults);
    unique(&valid, &mut faults);
    if faults.is_empty() {
        Ok(Manifests {
            objects: placed.into_iter().map(|placed| placed.object).collect(),
            suites,
        })
    } else {
        Err(faults)
    }
}

fn read_file(path: &Path, placed: &mut Vec<Placed>, suites: &mut Suites, faults: &mut Vec<Fault>) {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return faults.push(Fault::Unreadable {
                path: path.to_owned(),
                error,
            });
        }
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut found = false;
    for (number, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
        // By way of YAML's own value, which refuses a key that stands twice.
        let value = serde_yaml::Value::deserialize(document)
            .and_then(|yaml| serde_json::to_value(yaml).map_err(serde::de::Error::custom));
        match value {
            Ok(Value::Null) => {}
            Ok(value) if value["kind"] == "ConfigMap" && value["apiVersion"] == "v1" => {
                suites.extend(config_map(&value));
            }
            Ok(value) => {
                found = true;
                let name = value.pointer("/metadata/name").and_then(Value::as_str);
                let name = name.map_or_else(
                    || format!("document {}", number + 1),
                    |name| format!("`{name}`"),
                );
                admit_at(
                    format!("{} {name}", path.display()),
                    &value,
                    folder,
                    placed,
                    faults,
                );
            }
            Err(error) => {
                return faults.push(Fault::Syntax {
                    path: path.to_owned(),
                    error,
                });
            }
        }
    }
    if !found {
        faults.push(Fault::Empty {
            path: path.to_owned(),
        });
    }
}

/// The texts of a ConfigMap, if it has a name.
fn config_map(value: &Value) -> Option<((String, String), BTreeMap<String, String>)> {
    let name = value["metadata"]["name"].as_str()?.to_owned();
    let namespace = value["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE).to_owned();
    let data = value["data"].as_object().into_iter().flatten();
    let texts = data.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned())));
    Some(((namespace, name), texts.collect()))
}

fn admit_at(
    place: String,
    value: &Value,
    folder: &Path,
    placed: &mut Vec<Placed>,
    faults: &mut Vec<Fault>,
) {
    match admit(value) {
        Ok(mut object) => {
            object.spec.model.source = absolute(&object.spec.model.source, folder);
            placed.push(Placed { place, object });
        }
        Err(refusals) => faults.extend(refusals.into_iter().map(|refusal| Fault::Refused {
            place: place.clone(),
            refusal,
        })),
    }
}

/// A relative `file://` source is meant from the manifest's own folder, wherever this runs.
fn absolute(source: &str, folder: &Path) -> String {
    match source.strip_prefix("file://") {
        Some(path) if !path.starts_with('/') => {
            let joined = folder.join(path);
            let whole = fs::canonicalize(&joined)
                .or_else(|_| std::path::absolute(&joined))
                .unwrap_or(joined);
            format!("file://{}", whole.display())
        }
        _ => source.to_owned(),
    }
}

/// The manifest that a bare source stands for; its name comes from the source's last parts.
fn from_source(source: &str) -> Value {
    let stem = source
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(source);
    let stem = stem.strip_suffix(".gguf").unwrap_or(stem);
    let plain: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(NAME_LENGTH)
        .collect();
    let name = Some(plain.trim_matches('-'))
        .filter(|name| !name.is_empty())
        .unwrap_or("model");
    let model = Model {
        source: source.to_owned(),
        ..Model::default()
    };
    let object = ModelDeployment::new(
        name,
        ModelDeploymentSpec {
            model,
            ..Default::default()
        },
    );
    serde_json::to_value(object).unwrap_or_default()
}

fn validated(placed: &[Placed], faults: &mut Vec<Fault>) -> Vec<(String, Validated)> {
    let mut all = Vec::new();
    for Placed { place, object } in placed {
        match validate(object) {
            Ok(spec) => all.push((place.clone(), spec)),
            Err(invalid) => faults.extend(invalid.into_iter().map(|invalid| Fault::Invalid {
                place: place.clone(),
                field: invalid.field,
                message: invalid.message,
            })),
        }
    }
    all
}

/// No two models may have one key, nor one served name.
fn unique(valid: &[(String, Validated)], faults: &mut Vec<Fault>) {
    let (mut keys, mut names) = (BTreeMap::new(), BTreeMap::new());
    for (place, spec) in valid {
        if let Some(first) = keys.insert(&spec.key, place) {
            let (first, second) = (first.clone(), place.clone());
            faults.push(Fault::SameKey {
                first,
                second,
                key: spec.key.clone(),
            });
        } else if let Some(first) = names.insert(&spec.served_name, place) {
            let (first, second) = (first.clone(), place.clone());
            faults.push(Fault::SameName {
                first,
                second,
                name: spec.served_name.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<ModelDeployment>, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("models.yaml");
        fs::write(&path, text).expect("written");
        let read = read(&[path], &[]).map(|manifests| manifests.objects);
        read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn one(name: &str, spec: &str) -> String {
        format!(
            "apiVersion: chandler.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
        )
    }

    #[test]
    fn several_documents_are_read() {
        let text =
            one("a", "{model: {source: 'hf://x/a'}}") + &one("b", "{model: {source: 'hf://x/b'}}");
        assert_eq!(read_text(&text).expect("good").len(), 2);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let model = "{model: {source: 'hf://x/a'}}";
        let cases = [
            ("".to_owned(), "has no ModelDeployment"),
            ("a: [".to_owned(), "not YAML"),
            ("a: 1\na: 2".to_owned(), "not YAML"),
            (
                one("a", "{modle: 1, model: {source: 'hf://x/a'}}"),
                "spec.modle: unknown field",
            ),
            (one("a", model) + &one("a", model), "another metadata.name"),
            (
                one("a", model) + &one("b", "{model: {source: 'hf://x/b', servedName: a}}"),
                "both serve the name `a`",
            ),
            (
                one(
                    "a",
                    "{model: {source: 'hf://x/a'}, rollout: {strategy: blueGreen, steps: [{weight: 10}]}}",
                ),
                "remove them, or write strategy: canary",
            ),
        ];
        for (text, hint) in cases {
            let faults = read_text(&text).expect_err(hint);
            assert!(
                faults.iter().any(|fault| fault.contains(hint)),
                "{hint}: {faults:?}"
            );
        }
        let missing = read(&[PathBuf::from("/nowhere/model.yaml")], &[]).expect_err("missing");
        assert!(missing[0].to_string().contains("/nowhere/model.yaml"));
    }

    #[test]
    fn relative_files_are_meant_from_the_manifest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.yaml");
        fs::write(&path, one("a", "{model: {source: 'file://weights.gguf'}}")).expect("written");
        let objects = read(&[path], &[]).expect("good").objects;
        let wanted = folder.path().join("weights.gguf");
        assert!(
            objects[0]
                .spec
                .model
                .source
                .ends_with(&wanted.display().to_string())
        );
    }

    #[test]
    fn a_bare_source_gets_a_name() {
        for (source, name) in [
            (
                "hf://sentence-transformers/all-MiniLM-L6-v2",
                "all-minilm-l6-v2",
            ),
            ("hf://org/repo/Model.Q4_1.gguf", "model-q4-1"),
            ("file:///__", "model"),
        ] {
            let objects = read(&[], &[source.to_owned()]).expect("good").objects;
            assert_eq!(objects[0].metadata.name.as_deref(), Some(name));
        }
        assert!(read(&[], &["llama".to_owned()]).is_err());
    }
}
