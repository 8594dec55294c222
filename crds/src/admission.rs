//! What an API server does with a manifest, for places where there is none: unknown fields,
//! types and the CEL rules of the CRD, all told at once.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use crate::ModelDeployment;
use crate::names::{GROUP, KIND, VERSION};

/// Why a manifest is refused: the field, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Refusal {
    /// The field, such as `spec.replicas`.
    pub path: String,
    /// What is wrong with it, and what to write instead.
    pub message: String,
}

impl Refusal {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

struct Rules {
    schema: Value,
    compiled: CompiledSchema,
}

/// The CRD's schema, its rules compiled once.
static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let schema = ModelDeployment::crd()
        .spec
        .versions
        .into_iter()
        .find_map(|version| version.schema?.open_api_v3_schema)
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default();
    let compiled = compile_schema(&schema);
    Rules { schema, compiled }
});

/// Admits one manifest as a strict API server would.
///
/// # Errors
/// Every refusal found: a wrong group or kind, unknown fields, wrong types, broken rules.
pub fn admit(manifest: &Value) -> Result<ModelDeployment, Vec<Refusal>> {
    identity(manifest)?;
    let mut refusals = Vec::new();
    let object = typed(manifest, &mut refusals);
    refusals.extend(broken_rules(manifest));
    match object {
        Some(object) if refusals.is_empty() => Ok(object),
        _ => Err(refusals),
    }
}

fn identity(manifest: &Value) -> Result<(), Vec<Refusal>> {
    let wanted = format!("{GROUP}/{VERSION}");
    let text = |pointer: &str| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let mut refusals = Vec::new();
    if text("/apiVersion") != wanted {
        let message = format!("`{}` is not known: write `{wanted}`", text("/apiVersion"));
        refusals.push(Refusal::new("apiVersion", message));
    }
    if text("/kind") != KIND {
        refusals.push(Refusal::new(
            "kind",
            format!("`{}` is not known: write `{KIND}`", text("/kind")),
        ));
    }
    if !is_dns_label(text("/metadata/name")) {
        let message = "needs lower-case letters, digits and `-` inside, such as `my-model`";
        refusals.push(Refusal::new("metadata.name", message));
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals)
    }
}

fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Reads the manifest into its type, noting what the type does not know or can't hold.
fn typed(manifest: &Value, refusals: &mut Vec<Refusal>) -> Option<ModelDeployment> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(field_path(&path.to_string()));
    let mut track = serde_path_to_error::Track::new();
    let read: Result<ModelDeployment, _> =
        serde::Deserialize::deserialize(serde_ignored::Deserializer::new(
            serde_path_to_error::Deserializer::new(manifest.clone(), &mut track),
            &mut note,
        ));
    // The root type reads these two without keeping them.
    unknown.retain(|path| path != "apiVersion" && path != "kind");
    refusals.extend(unknown.into_iter().map(|path| {
        let message = format!("unknown field; known here: {}", known_fields(&path));
        Refusal::new(path, message)
    }));
    read.map_err(|error| {
        refusals.push(Refusal::new(track.path().to_string(), error.to_string()));
    })
    .ok()
}

/// `serde_ignored` writes `?` for the steps through an `Option`.
fn field_path(path: &str) -> String {
    path.split('.')
        .filter(|step| *step != "?")
        .collect::<Vec<_>>()
        .join(".")
}

/// The fields beside the one at `path`, from the CRD's own schema.
fn known_fields(path: &str) -> String {
    let parents = path.rsplit_once('.').map_or("", |(parents, _)| parents);
    let node =
        parents
            .split('.')
            .filter(|step| !step.is_empty())
            .try_fold(&RULES.schema, |node, step| {
                node.pointer(&format!("/properties/{step}"))
                    .or_else(|| node.get("items"))
            });
    let names: Vec<&str> = node
        .and_then(|node| node.get("properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

fn broken_rules(manifest: &Value) -> Vec<Refusal> {
    match Validator::new().validate_compiled(&RULES.compiled, manifest, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| {
                let path = if error.field_path.is_empty() {
                    "manifest"
                } else {
                    &error.field_path
                };
                Refusal::new(path, error.message.clone())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles() {
        assert!(
            !RULES.compiled.has_errors(),
            "{:?}",
            RULES.compiled.compilation_errors()
        );
    }
}
