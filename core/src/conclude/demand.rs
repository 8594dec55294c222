//! The conditions that rest on what the gateways tell: none of them bears on whether the model is
//! ready.

use chandler_crds::conditions::{ConditionType, Reason, Truth, TypedCondition};

use super::conditions::{Facts, condition};
use crate::validate::Replicas;

impl Facts<'_> {
    /// Whether the count follows what is measured, of a model that asks for it.
    pub(super) fn scaling(&self) -> Option<TypedCondition> {
        let Replicas::Scaled { idle_after, .. } = self.spec.replicas else {
            return None;
        };
        let message = match (idle_after, &self.seen.gateways) {
            (None, _) => "replicas are held: targets are not followed in this version",
            (Some(_), None) => {
                "replicas are held: no gateway is known that could wake the model, and targets are \
                 not followed in this version"
            }
            (Some(_), Some(_)) => {
                "the model falls asleep and is woken by requests; targets are not followed in this \
                 version"
            }
        };
        let kind = ConditionType::ScalingActive;
        let reason = Reason::NotAvailable;
        Some(condition(kind, Truth::False, reason, message))
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
