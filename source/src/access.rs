//! How stores are reached: their addresses, and the right to read from them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use chandler_crds::names::{credentials, env};

use crate::digest::blocking;
use crate::error::SourceError;
use crate::hub::Hub;

/// The environment variables that say where and how a store is reached.
const SETTINGS: &[&str] = &[
    env::AWS_ENDPOINT,
    env::AWS_REGION,
    env::AWS_ALLOW_HTTP,
    env::AWS_ACCESS_KEY,
    env::AWS_SECRET_KEY,
    env::AWS_SESSION_TOKEN,
    env::OCI_PLAIN_HTTP,
];
/// Bytes of one credential.
const MAX_SECRET: u64 = 1 << 20;

/// Addresses of stores and credentials for them. A credential is read when it is needed, first
/// from the folder of credentials, so that one that was renewed there is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// The model hub.
    pub hub: Hub,
    /// Folder where the claim of a `pvc://` source is mounted.
    pub claim: Option<PathBuf>,
    /// Folder of credentials, one file a key.
    pub credentials: Option<PathBuf>,
    settings: BTreeMap<&'static str, String>,
}

/// Who asks a store.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Anonymous,
    Bearer(String),
    Basic(String, String),
}

impl Access {
    /// What the process's environment says.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// What an environment says, of which `lookup` gives the variables.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).and_then(trimmed);
        let setting = |name: &&'static str| Some((*name, get(name)?));
        Self {
            hub: Hub::from_lookup(&lookup),
            claim: get(env::CLAIM).map(PathBuf::from),
            credentials: get(env::CREDENTIALS).map(PathBuf::from),
            settings: SETTINGS.iter().filter_map(setting).collect(),
        }
    }

    /// What the environment alone says of `name`.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// What the folder of credentials holds under `key`, else the environment.
    pub(crate) async fn secret(&self, key: &str) -> Result<Option<String>, SourceError> {
        let own = self.secret_file(key).await?;
        Ok(own.or_else(|| self.setting(key).map(str::to_owned)))
    }

    async fn secret_file(&self, key: &str) -> Result<Option<String>, SourceError> {
        let Some(folder) = &self.credentials else {
            return Ok(None);
        };
        let path = folder.join(key);
        let text = blocking(folder, move || match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(data) if data.len() > MAX_SECRET => {
                Err(io::Error::other("too long for a credential"))
            }
            Ok(_) => std::fs::read_to_string(&path).map(Some),
        });
        Ok(text.await?.and_then(trimmed))
    }

    /// The hub, with the token of the credentials if they hold one.
    pub(crate) async fn hub(&self) -> Result<Hub, SourceError> {
        let mut hub = self.hub.clone();
        for key in [env::HUB_TOKEN, credentials::TOKEN] {
            if let Some(token) = self.secret_file(key).await? {
                hub.token = Some(token);
                break;
            }
        }
        Ok(hub)
    }

    /// The login of the credentials to a web server.
    pub(crate) async fn login(&self) -> Result<Login, SourceError> {
        if let Some(token) = self.secret(credentials::TOKEN).await? {
            return Ok(Login::Bearer(token));
        }
        self.user().await
    }

    /// The user and password of the credentials.
    pub(crate) async fn user(&self) -> Result<Login, SourceError> {
        let user = self.secret(credentials::USERNAME).await?;
        let password = self.secret(credentials::PASSWORD).await?;
        match (user, password) {
            (None, None) => Ok(Login::Anonymous),
            (Some(user), Some(password)) => Ok(Login::Basic(user, password)),
            (Some(_), None) => Err(incomplete(credentials::PASSWORD, credentials::USERNAME)),
            (None, Some(_)) => Err(incomplete(credentials::USERNAME, credentials::PASSWORD)),
        }
    }
}

/// One half of a pair is of no use.
pub(crate) fn incomplete(missing: &str, given: &str) -> SourceError {
    SourceError::InvalidSetting {
        name: missing.to_owned(),
        problem: format!("it is missing, and the credentials have {given}: give both or neither"),
    }
}

fn trimmed(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<Hub> for Access {
    /// A hub, and no other store's address or credentials.
    fn from(hub: Hub) -> Self {
        Self {
            hub,
            ..Self::from_lookup(|_| None)
        }
    }
}

impl fmt::Debug for Access {
    /// Leaves values out, since some are secrets and this ends up in logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Access")
            .field("hub", &self.hub)
            .field("claim", &self.claim)
            .field("credentials", &self.credentials)
            .field("settings", &self.settings.keys())
            .finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Bearer(_) => "Bearer",
            Self::Basic(..) => "Basic",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_folder_goes_before_the_environment_and_nothing_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        std::fs::write(folder.path().join("AWS_REGION"), "moon-1\n").unwrap();
        std::fs::write(folder.path().join("HF_TOKEN"), " hidden ").unwrap();
        let access = Access::from_lookup(|name| match name {
            "CHANDLER_CREDENTIALS" => Some(path.clone()),
            "AWS_REGION" => Some("sun-1".into()),
            "AWS_SECRET_ACCESS_KEY" => Some("hidden".into()),
            "HF_TOKEN" => Some("old".into()),
            _ => None,
        });
        let region = access.secret("AWS_REGION").await.unwrap();
        assert_eq!(region.as_deref(), Some("moon-1"));
        let hub = access.hub().await.unwrap();
        assert_eq!(hub.token.as_deref(), Some("hidden"));
        assert_eq!(access.secret("AWS_SESSION_TOKEN").await.unwrap(), None);
        assert!(!format!("{access:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn half_a_login_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut access = Access::from_lookup(|_| None);
        access.credentials = Some(folder.path().to_path_buf());
        assert_eq!(access.login().await.unwrap(), Login::Anonymous);
        std::fs::write(folder.path().join("username"), "u").unwrap();
        let error = access.login().await.unwrap_err();
        assert_eq!(error.reason(), "InvalidSetting");
        assert!(error.to_string().contains("password"), "{error}");
        std::fs::write(folder.path().join("password"), "p").unwrap();
        let both = Login::Basic("u".into(), "p".into());
        assert_eq!(access.login().await.unwrap(), both);
    }
}
