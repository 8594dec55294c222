//! The conditions that rest on what the gateways tell: none of them bears on whether the model is
//! ready.

use chandler_crds::conditions::{ConditionType, Reason, Truth, TypedCondition};

use super::conditions::{Facts, condition};
use crate::rollout;
use crate::snapshot::{RevisionSeen, Snapshot};
use crate::validate::Replicas;

impl Facts<'_> {
    /// Whether the count follows what is measured, of a model that asks for it.
    pub(super) fn scaling(&self) -> Option<TypedCondition> {
        let Replicas::Scaled { idle_after, .. } = self.spec.replicas else {
            return None;
        };
        // While two share the traffic, the count is that of the one before.
        let rival = rollout::rival(self.spec, self.seen, self.memory);
        let bearer = rival.unwrap_or(&self.pursued.revision);
        let there = self.seen.revisions.get(bearer);
        let untold = untold(self.seen);
        let (truth, reason, message) = match there {
            Some(there) if there.desired == 0 => (
                Truth::True,
                Reason::ScaledToZero,
                "the model rests until a request waits at a gateway",
            ),
            Some(RevisionSeen { load: Some(_), .. }) => (
                Truth::True,
                Reason::Following,
                match (idle_after, &self.seen.gateways) {
                    (Some(_), None) => {
                        "the count follows the load, but never to 0: no gateway is known that could \
                         wake the model"
                    }
                    _ => "the count follows the load of the replicas",
                },
            ),
            _ => (Truth::False, Reason::LoadUnknown, untold.as_str()),
        };
        Some(condition(
            ConditionType::ScalingActive,
            truth,
            reason,
            message,
        ))
    }

    /// Whether callers need a key, where gateways are known.
    pub(super) fn access(&self) -> Option<TypedCondition> {
        let gateways = self.seen.gateways.as_ref()?;
        let (truth, reason, message) = match gateways.open {
            Some(true) => (
                Truth::False,
                Reason::NoApiKey,
                "no API key exists, so everyone who reaches the gateway may ask this model: create \
                 one with `chandler keys create NAME`",
            ),
            Some(false) => (
                Truth::True,
                Reason::KeysRequired,
                "the gateway answers only callers with an API key",
            ),
            None => (
                Truth::Unknown,
                Reason::GatewaysSilent,
                "no gateway tells whether callers need an API key",
            ),
        };
        let kind = ConditionType::AccessRestricted;
        Some(condition(kind, truth, reason, message))
    }
}

/// That the count is held, and why where that is known.
fn untold(seen: &Snapshot) -> String {
    let held = "the count is held: no ready replica has told its load";
    match &seen.untold {
        Some(why) => format!("{held}: {why}"),
        None => held.to_owned(),
    }
}
