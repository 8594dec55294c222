//! Accounts: who may ask, for which models, and for how much of them.
//!
//! A caller's key is known by its hash alone. While no key is configured, everyone may ask, and a
//! request pays for one look and no more. Else a request is let in by [`registry`] (whose key is
//! it?), by its account's models and limits, and at a saturated model by [`gates`], where keys
//! take turns by tokens and weight. The [`Admission`] that it holds until its answer has ended
//! settles what it really used.

mod account;
mod admission;
mod error;
mod file;
mod gates;
mod key;
mod metrics;
mod rate;
mod registry;
mod usage;

pub use account::{Account, AccountFault, MAX_WEIGHT, Models};
pub(crate) use admission::{Admission, listed, unknown_model};
pub use error::AccountError;
pub use file::{KeysFile, KeysFileError};
pub use key::KeyHash;
pub(crate) use registry::Accounts;
pub use registry::Keys;

use k8s_openapi::api::core::v1::Secret;

impl Keys {
    /// The accounts of these Secrets. One that can't be read is told in the log, and its key does
    /// not work.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut keys = Self::default();
        for secret in secrets {
            match Account::from_secret(secret) {
                Ok(account) => keys.accounts.push(account),
                Err(fault) => {
                    keys.refused += 1;
                    let name = secret.metadata.name.as_deref().unwrap_or_default();
                    tracing::warn!(
                        secret = name,
                        reason = fault.reason(),
                        "the API key of Secret \"{name}\" does not work: {fault}"
                    );
                }
            }
        }
        keys
    }
}
