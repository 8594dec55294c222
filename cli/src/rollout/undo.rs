//! Going back to a revision that was.

use anyhow::{Context, Result, bail};
use chandler_crds::ModelDeploymentStatus;
use chandler_crds::spec::Server;
use chandler_crds::status::{RevisionStatus, RevisionTemplate};
use serde_json::{Map, Value};

use super::args::UndoArgs;
use super::model::Model;

pub(super) async fn run(args: &UndoArgs) -> Result<String> {
    let model = Model::read(&args.model).await?;
    let status = model.status();
    let wanted = status.rollout.as_ref().map(|it| it.revision.clone());
    let to = target(&status, args.to.as_deref())?;
    let template = to.template.clone();
    let template = template.context("nothing tells what that revision was made from")?;
    let (name, server) = (to.name.clone(), model.known.spec.server.clone());
    let current = status
        .revisions
        .iter()
        .find(|it| Some(&it.name) == wanted.as_ref());
    let current = current.and_then(|it| it.template.as_ref());
    let template = as_written(template, server.as_ref(), current);
    let template = serde_json::to_value(template)?;
    model.change(|spec| put(spec, &template)).await?;
    Ok(format!(
        "the spec asks for revision {name} again; in a manifest, write spec.model and spec.server as \
         `kubectl get mdl {} -o yaml` shows them now\n",
        args.model.model
    ))
}

/// The revision that is asked for, or else the one that served before the last.
fn target<'a>(status: &'a ModelDeploymentStatus, to: Option<&str>) -> Result<&'a RevisionStatus> {
    let find = |name: &str| status.revisions.iter().find(|it| it.name == name);
    let rollout = status.rollout.as_ref();
    let current = rollout.map_or("", |it| it.revision.as_str());
    if let Some(name) = to {
        if name == current {
            bail!("revision {name} is what the spec asks for already");
        }
        return find(name).with_context(|| {
            format!("no revision {name} is known: `chandler rollout history` tells those that are")
        });
    }
    let before = rollout.and_then(|it| it.from.as_deref()).and_then(find);
    let good = |it: &&RevisionStatus| it.name != current && it.rejected.is_none();
    let newest = || status.revisions.iter().rev().find(good);
    let found = before.or_else(newest);
    found.context("there is no revision to go back to")
}

/// As a person would have written it: what belongs to no revision stays as it is, and an image that
/// is the operator's own stays out.
fn as_written(
    mut template: RevisionTemplate,
    server: Option<&Server>,
    current: Option<&RevisionTemplate>,
) -> RevisionTemplate {
    let image = |it: &RevisionTemplate| it.server.as_ref().and_then(|it| it.image.clone());
    let is_default =
        server.is_none_or(|it| it.image.is_none()) && current.and_then(image) == image(&template);
    let request_timeout = server.and_then(|it| it.request_timeout);
    if let Some(server) = &mut template.server {
        server.request_timeout = request_timeout;
        if is_default {
            server.image = None;
        }
    } else if request_timeout.is_some() {
        template.server = Some(Server {
            request_timeout,
            ..Server::default()
        });
    }
    template.server = template.server.filter(|it| *it != Server::default());
    template
}

/// Puts a template's fields in the place of the spec's.
fn put(spec: &mut Map<String, Value>, template: &Value) {
    for field in ["model", "server"] {
        match template.get(field) {
            Some(value) => spec.insert(field.to_owned(), value.clone()),
            None => spec.remove(field),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(rollout: &Value) -> ModelDeploymentStatus {
        let at = "2026-01-01T00:00:00.000000Z";
        let revision = |name: &str, rejected: bool| {
            let end = json!({"at": at, "reason": "R", "message": "m"});
            json!({"name": name, "phase": "Retired", "createdAt": at,
                "rejected": rejected.then_some(end)})
        };
        let revisions = [("a", false), ("b", false), ("c", true), ("d", false)];
        let revisions = revisions.map(|(name, rejected)| revision(name, rejected));
        let rollout = json!({"revision": rollout["revision"], "from": rollout["from"],
            "strategy": "canary", "phase": "Completed", "stepBeganAt": at, "beganAt": at, "policy": "x"});
        let status = json!({"rollout": rollout, "revisions": revisions});
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn the_one_before_is_gone_back_to_or_the_last_that_was_good() {
        let name = |rollout: Value, to: Option<&str>| {
            target(&status(&rollout), to).map(|it| it.name.clone()).ok()
        };
        let from = json!({"revision": "d", "from": "a"});
        assert_eq!(name(from.clone(), None).as_deref(), Some("a"));
        assert_eq!(name(from.clone(), Some("c")).as_deref(), Some("c"));
        assert_eq!(name(from.clone(), Some("d")), None, "it is there");
        assert_eq!(name(from, Some("e")), None, "it is unknown");
        assert_eq!(name(json!({"revision": "d"}), None).as_deref(), Some("b"));
    }

    fn template(server: Value) -> RevisionTemplate {
        serde_json::from_value(json!({"model": {"source": "file:///m"}, "server": server}))
            .expect("a template")
    }

    #[test]
    fn an_image_of_the_operator_is_not_written_out() {
        let server = |text: Value| serde_json::from_value::<Server>(text).expect("a server");
        let now = server(json!({"requestTimeout": "5m", "maxQueue": 1}));
        let old = template(json!({"image": "default:1", "maxQueue": 7}));
        let same = template(json!({"image": "default:1"}));
        let written = as_written(old.clone(), Some(&now), Some(&same))
            .server
            .expect("one");
        assert_eq!(
            written,
            server(json!({"requestTimeout": "5m", "maxQueue": 7}))
        );
        let newer = template(json!({"image": "default:2"}));
        let written = as_written(old, Some(&now), Some(&newer))
            .server
            .expect("one");
        assert_eq!(
            written.image.as_deref(),
            Some("default:1"),
            "it is another by now"
        );
        let plain = as_written(same.clone(), None, Some(&same));
        assert_eq!(plain.server, None);
    }

    #[test]
    fn fields_that_the_revision_had_not_are_gone() {
        let mut spec =
            json!({"model": {"source": "b", "dtype": "f16"}, "server": {}, "replicas": 2});
        put(
            spec.as_object_mut().expect("fields"),
            &json!({"model": {"source": "a"}}),
        );
        assert_eq!(spec, json!({"model": {"source": "a"}, "replicas": 2}));
    }
}
