//! TLS with an authority of the test's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::AUTHORITY;

const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key";

/// Makes an authority in `folder`. Gives the path of its certificate.
pub(crate) fn make_authority(folder: &Path) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let path = folder.join(CERTIFICATE);
    std::fs::write(&path, authority().self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join(KEY), key.serialize_pem()).unwrap();
    path
}

/// What an authority's certificate says; all have the same name.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A server's certificate, from the authority that the process trusts, or from another.
pub(crate) fn acceptor(trusted: bool) -> TlsAcceptor {
    let other = tempfile::tempdir().unwrap();
    let folder = match trusted {
        true => PathBuf::from(std::env::var_os(AUTHORITY).unwrap()),
        false => {
            make_authority(other.path());
            other.path().to_path_buf()
        }
    };
    let key = std::fs::read_to_string(folder.join(KEY)).unwrap();
    let issuer = Issuer::new(authority(), KeyPair::from_pem(&key).unwrap());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let chain = vec![CertificateDer::from(certificate)];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Puts TLS before a server. Gives the address.
pub(crate) async fn cover(server: String, trusted: bool) -> String {
    let acceptor = acceptor(trusted);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                if let Ok(mut server) = TcpStream::connect(server).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}
