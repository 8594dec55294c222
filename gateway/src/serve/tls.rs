use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

/// The only protocol that is spoken over TLS, as ALPN names it.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate and its key, as files that may change while they are used.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate and those that lead from it to an authority, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// How often the files are read again. A Secret that changes reaches a pod by the swap of a
    /// symbolic link, of which not every file system tells.
    pub every: Duration,
}

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{path} is no PEM file of a {what}: {error}", path = .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The two do not go together, or the key is of a kind that is not known.
    #[error(
        "{certificate} and {key} are no pair: {error}. Give the key that the certificate was made for",
        certificate = .certificate.display(),
        key = .key.display()
    )]
    NoPair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// TLS itself can't be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "CertificateUnreadable",
            Self::Pem { .. } => "CertificateMalformed",
            Self::NoPair { .. } => "CertificateWithoutKey",
            Self::Setup(_) => "NoTls",
        }
    }
}

/// The certificate that callers are shown: always the last one of the files that was good.
/// Clones show the same.
#[derive(Debug, Clone)]
pub struct Certificates {
    files: TlsFiles,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    /// The files as they were read at first.
    read: Arc<Pem>,
}

#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The files' bytes.
#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pem(..)")
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], when they hold no pair that can be used.
    pub async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let read = read(&files).await?;
        let shown = Arc::new(Shown(ArcSwap::from_pointee(pair(&files, &read)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            files,
            shown,
            config: Arc::new(config),
            read: Arc::new(read),
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Shows what the files hold whenever they hold another pair, for ever. A pair that can't be
    /// used is told of once, and the one before is shown on; `refused` is 1 meanwhile.
    pub(super) async fn follow(&self, refused: &IntGauge) {
        let mut ticks = interval(self.files.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Arc::clone(&self.read);
        let mut told = String::new();
        loop {
            ticks.tick().await;
            match self.renewed(&mut seen).await {
                Ok(None) => {}
                Ok(Some(pair)) => {
                    self.shown.0.store(Arc::new(pair));
                    refused.set(0);
                    told.clear();
                    tracing::info!("callers are shown a new certificate");
                }
                Err(error) => {
                    refused.set(1);
                    warn_once(&error, &mut told);
                }
            }
        }
    }

    /// What the files hold, if it is something else than was `seen`.
    async fn renewed(&self, seen: &mut Arc<Pem>) -> Result<Option<CertifiedKey>, TlsError> {
        let found = read(&self.files).await?;
        if found == **seen {
            return Ok(None);
        }
        let pair = pair(&self.files, &found);
        *seen = Arc::new(found);
        pair.map(Some)
    }
}

fn warn_once(error: &TlsError, told: &mut String) {
    let message = error.to_string();
    if *told != message {
        let reason = error.reason();
        tracing::warn!(reason, %error, "the new certificate is of no use; the old one is shown on");
        *told = message;
    }
}

async fn read(files: &TlsFiles) -> Result<Pem, TlsError> {
    Ok(Pem {
        certificate: read_file(&files.certificate).await?,
        key: read_file(&files.key).await?,
    })
}

async fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = tokio::fs::read(path).await;
    bytes.map_err(|error| TlsError::Read {
        path: path.to_owned(),
        error,
    })
}

fn pair(files: &TlsFiles, read: &Pem) -> Result<CertifiedKey, TlsError> {
    let malformed = |path: &Path, what| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, what, error }
    };
    let chain = CertificateDer::pem_slice_iter(&read.certificate)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| match chain.is_empty() {
            true => Err(pem::Error::NoItemsFound),
            false => Ok(chain),
        })
        .map_err(malformed(&files.certificate, "certificate"))?;
    let key =
        PrivateKeyDer::from_pem_slice(&read.key).map_err(malformed(&files.key, "private key"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        TlsError::NoPair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            error,
        }
    })
}
