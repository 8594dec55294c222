//! A model in a cluster: read whole, and changed at no other field than is meant.

use anyhow::{Context, Result, bail};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Map, Value};

use crate::args::ModelArgs;
use crate::cluster::{connect, no_model};

/// Who changes the fields, to the API server.
const FIELD_MANAGER: &str = "chandler-cli";

/// Times that a change is tried while the operator writes its status in between.
const TRIES: usize = 20;
/// Why a change is given up.
const OVERTAKEN: &str = "someone else has changed the model just now: try again";

/// A model, and the way to it.
pub(super) struct Model {
    objects: Api<DynamicObject>,
    name: String,
    /// With all fields, those of later versions among them.
    whole: DynamicObject,
    /// As this version understands it.
    pub(super) known: ModelDeployment,
}

impl Model {
    pub(super) async fn read(args: &ModelArgs) -> Result<Self> {
        Self::read_by(connect(&args.cluster).await?, args).await
    }

    pub(super) async fn read_by(client: Client, args: &ModelArgs) -> Result<Self> {
        let resource = ApiResource::erase::<ModelDeployment>(&());
        let objects: Api<DynamicObject> = Api::namespaced_with(client, &args.namespace, &resource);
        let found = objects.get_opt(&args.model).await;
        let Some(whole) = found.context("the model could not be read")? else {
            return Err(no_model(args));
        };
        let known = whole.clone().try_parse();
        Ok(Self {
            objects,
            name: args.model.clone(),
            known: known.context("the model is none that this version knows")?,
            whole,
        })
    }

    pub(super) fn status(&self) -> ModelDeploymentStatus {
        self.known.status.clone().unwrap_or_default()
    }

    /// Changes the spec, unless someone else has changed it since it was read. That the operator writes a status
    /// meanwhile is no such change.
    pub(super) async fn change(
        mut self,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<()> {
        let spec = self.whole.data.get_mut("spec");
        let spec = spec.and_then(Value::as_object_mut);
        change(spec.context("the model has no spec")?);
        let how = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        for _ in 0..TRIES {
            let changed = self.objects.replace(&self.name, &how, &self.whole).await;
            match changed {
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => self.renew().await?,
                changed => {
                    return changed.map(drop).context("the model could not be changed");
                }
            }
        }
        bail!("{OVERTAKEN}")
    }

    /// The object as it is now, but for the spec that it is to have.
    async fn renew(&mut self) -> Result<()> {
        let now = self.objects.get(&self.name).await;
        let mut now = now.context("the model could not be read again")?;
        let (was, is) = (&self.whole.metadata, &now.metadata);
        if (&was.uid, was.generation) != (&is.uid, is.generation) {
            bail!("{OVERTAKEN}");
        }
        now.data["spec"] = self.whole.data["spec"].take();
        self.whole = now;
        Ok(())
    }
}

/// Changes `spec.rollout`, which may not be there yet.
pub(super) fn steer(spec: &mut Map<String, Value>, change: impl FnOnce(&mut Map<String, Value>)) {
    let rollout = spec.entry("rollout").or_insert(Value::Null);
    let mut fields = rollout.as_object().cloned().unwrap_or_default();
    change(&mut fields);
    *rollout = Value::Object(fields);
}
