//! What the operator shows a Prometheus server: a folder with the keys of a Secret as its files.

use std::io;
use std::path::PathBuf;

use chandler_crds::names::credentials as names;
use reqwest::Certificate;
use tokio::fs;

/// A folder with credentials, or none.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Option<PathBuf>);

/// Why credentials can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is no such folder.
    #[error("the folder {0} of --metrics-credentials can't be read")]
    NoFolder(String),
    /// A file can't be read, or holds no text.
    #[error("the file {file} of --metrics-credentials can't be read: {problem}")]
    Unreadable {
        /// Which.
        file: &'static str,
        /// Why not.
        problem: String,
    },
    /// There are two ways to log in.
    #[error(
        "--metrics-credentials has {} and {}: leave one out",
        names::TOKEN,
        names::USERNAME
    )]
    Both,
    /// One half of a login.
    #[error("--metrics-credentials has {has} but not {lacks}: add it")]
    Half {
        /// What is there.
        has: &'static str,
        /// What is not.
        lacks: &'static str,
    },
    /// The authorities are no certificates.
    #[error("the certificates to be trusted can't be used: {0}")]
    Authorities(String),
}

impl CredentialsError {
    /// The error as one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoFolder(_) | Self::Unreadable { .. } => "CredentialsUnreadable",
            Self::Both | Self::Half { .. } => "CredentialsAmbiguous",
            Self::Authorities(_) => "AuthoritiesUnusable",
        }
    }
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Anonymous,
    Bearer(String),
    /// User and password.
    Basic(String, String),
}

impl Credentials {
    /// Those in a folder.
    #[must_use]
    pub fn of(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// Authorities to be trusted besides those of the system. They are read once.
    pub(super) fn authorities(&self) -> Result<Vec<Certificate>, CredentialsError> {
        let Some(folder) = &self.0 else {
            return Ok(Vec::new());
        };
        if !folder.is_dir() {
            return Err(CredentialsError::NoFolder(folder.display().to_string()));
        }
        match std::fs::read(folder.join(names::AUTHORITIES)) {
            Ok(pem) => Certificate::from_pem_bundle(&pem)
                .map_err(|error| CredentialsError::Authorities(super::cause(&error))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(unreadable(names::AUTHORITIES, &error)),
        }
    }

    /// How to log in now.
    pub(super) async fn login(&self) -> Result<Login, CredentialsError> {
        let token = self.read(names::TOKEN).await?;
        let user = self.read(names::USERNAME).await?;
        let password = self.read(names::PASSWORD).await?;
        let half = |has, lacks| Err(CredentialsError::Half { has, lacks });
        match (token, user, password) {
            (None, None, None) => Ok(Login::Anonymous),
            (Some(token), None, None) => Ok(Login::Bearer(token)),
            (None, Some(user), Some(password)) => Ok(Login::Basic(user, password)),
            (None, Some(_), None) => half(names::USERNAME, names::PASSWORD),
            (None, None, Some(_)) => half(names::PASSWORD, names::USERNAME),
            (Some(_), _, _) => Err(CredentialsError::Both),
        }
    }

    /// A file's text, without the line's end that editors add.
    async fn read(&self, file: &'static str) -> Result<Option<String>, CredentialsError> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        match fs::read_to_string(folder.join(file)).await {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(file, &error)),
        }
    }
}

fn unreadable(file: &'static str, error: &io::Error) -> CredentialsError {
    CredentialsError::Unreadable {
        file,
        problem: error.to_string(),
    }
}
