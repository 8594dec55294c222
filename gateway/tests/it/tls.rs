//! TLS, and certificates that change while they are shown.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chandler_gateway::{Certificates, GatewayConfig, TlsFiles};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Door, config, soon};
use crate::upstream::Upstream;

/// A certificate of its own authority, with its key as PEM.
struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            key,
        }
    }
}

/// A folder that changes as a Secret's does in a pod: files are links into `..data`, and that is
/// replaced by another link.
struct Mounted(TempDir);

impl Mounted {
    fn new(certificate: &str, key: &str) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        mounted.swap(certificate, key);
        for file in ["tls.crt", "tls.key"] {
            let link = mounted.path().join(file);
            std::os::unix::fs::symlink(Path::new("..data").join(file), link).unwrap();
        }
        mounted
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn swap(&self, certificate: &str, key: &str) {
        let version = tempfile::tempdir_in(self.path()).unwrap().keep();
        fs::write(version.join("tls.crt"), certificate).unwrap();
        fs::write(version.join("tls.key"), key).unwrap();
        let link = self.path().join("..next");
        std::os::unix::fs::symlink(version, &link).unwrap();
        fs::rename(link, self.path().join("..data")).unwrap();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path().join("tls.crt"),
            key: self.path().join("tls.key"),
            every: Duration::from_millis(5),
        }
    }
}

async fn agree(
    door: &Door,
    known: &[&Pair],
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for pair in known {
        roots.add(pair.certificate.der().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(door.addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon("a handshake", connecting).await
}

/// The certificate that a new connection is shown.
async fn shown(door: &Door, known: &[&Pair]) -> CertificateDer<'static> {
    let stream = agree(door, known, &[]).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = soon("an answer", stream.read_to_end(&mut answer)).await;
    ended.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn open(mounted: &Mounted) -> Door {
    let tls = Certificates::load(mounted.files()).await.unwrap();
    Door::open(GatewayConfig {
        tls: Some(tls),
        ..config()
    })
    .await
}

const METRICS: &str = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// Waits until /metrics, asked over TLS, has this line.
async fn metric(door: &Door, known: &[&Pair], line: &str) {
    let polled = async {
        loop {
            let mut stream = agree(door, known, &[]).await.unwrap();
            if ask(&mut stream, METRICS)
                .await
                .lines()
                .any(|got| got == line)
            {
                return;
            }
        }
    };
    soon(line, polled).await;
}

#[tokio::test]
async fn requests_are_answered_over_tls_in_http_1_1_alone() {
    let upstream = Upstream::named("a").await;
    let pair = Pair::new();
    let mounted = Mounted::new(&pair.certificate.pem(), &pair.key.serialize_pem());
    let door = open(&mounted).await;
    door.gateway.publish(crate::support::chat(upstream.alone()));
    let mut stream = agree(&door, &[&pair], &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let body = r#"{"model":"chat"}"#;
    let length = body.len();
    let request = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = ask(&mut stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with(r#"{"from":"a"}"#), "{answer}");
    assert!(agree(&door, &[&pair], &[b"h2"]).await.is_err());
    assert!(
        agree(&door, &[&Pair::new()], &[]).await.is_err(),
        "another authority"
    );
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let (old, new, last) = (Pair::new(), Pair::new(), Pair::new());
    let known = [&old, &new, &last];
    let mounted = Mounted::new(&old.certificate.pem(), &old.key.serialize_pem());
    let door = open(&mounted).await;
    assert_eq!(shown(&door, &known).await, *old.certificate.der());
    let mut kept = agree(&door, &known, &[]).await.unwrap();

    mounted.swap(&new.certificate.pem(), &new.key.serialize_pem());
    let renewed = async { while shown(&door, &known).await != *new.certificate.der() {} };
    soon("the new certificate", renewed).await;
    // A connection outlives the certificate that it began with.
    assert!(ask(&mut kept, METRICS).await.starts_with("HTTP/1.1 200 "));

    let (refused, fine) = (
        "chandler_gateway_certificate_refused 1",
        "chandler_gateway_certificate_refused 0",
    );
    for (certificate, key) in [
        (last.certificate.pem(), new.key.serialize_pem()),
        ("nothing".to_owned(), last.key.serialize_pem()),
        (last.certificate.pem(), String::new()),
    ] {
        mounted.swap(&certificate, &key);
        metric(&door, &known, refused).await;
        assert_eq!(shown(&door, &known).await, *new.certificate.der());
        mounted.swap(&new.certificate.pem(), &new.key.serialize_pem());
        metric(&door, &known, fine).await;
    }
    mounted.swap(&last.certificate.pem(), &last.key.serialize_pem());
    let renewed = async { while shown(&door, &known).await != *last.certificate.der() {} };
    soon("the last certificate", renewed).await;
}

#[tokio::test]
async fn without_a_good_pair_it_does_not_begin_and_says_why() {
    let (one, other) = (Pair::new(), Pair::new());
    let mounted = Mounted::new(&one.certificate.pem(), &other.key.serialize_pem());
    let error = Certificates::load(mounted.files()).await.unwrap_err();
    assert_eq!(error.reason(), "CertificateWithoutKey");
    assert!(error.to_string().contains("tls.key"), "{error}");
    mounted.swap(&one.key.serialize_pem(), &one.key.serialize_pem());
    let error = Certificates::load(mounted.files()).await.unwrap_err();
    assert_eq!(error.reason(), "CertificateMalformed");
    let missing = TlsFiles {
        key: mounted.path().join("missing"),
        ..mounted.files()
    };
    let error = Certificates::load(missing).await.unwrap_err();
    assert_eq!(error.reason(), "CertificateUnreadable");
}
