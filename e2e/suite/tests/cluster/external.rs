//! A metric from outside of the cluster, whose value a test sets: as much of an API server of
//! `external.metrics.k8s.io` as the cluster's own one and a HorizontalPodAutoscaler ask for.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};
use chandler_e2e_suite::{Space, kubectl};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::PostParams;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// The version of the API that is served here.
const SERVED: &str = "v1beta1.external.metrics.k8s.io";

/// The metric's source. The cluster knows it until it is dropped: an API that nobody serves any more
/// would keep namespaces from going.
pub(crate) struct External {
    value: Arc<AtomicU32>,
}

impl External {
    /// Its name.
    pub(crate) const METRIC: &'static str = "asked";

    /// Serves it, and waits until the cluster asks here.
    pub(crate) async fn start(space: &Space) -> Result<Self> {
        let value = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind((control(space).await?, 0))?;
        let address = listener.local_addr()?;
        serve(listener, value.clone())?;
        let external = Self { value };
        announce(space, address).await?;
        kubectl(&["wait", "--for=condition=Available", "apiservice", SERVED])?;
        Ok(external)
    }

    pub(crate) fn set(&self, value: u32) {
        self.value.store(value, Ordering::Relaxed);
    }
}

impl Drop for External {
    fn drop(&mut self) {
        if let Err(error) = kubectl(&["delete", "apiservice", SERVED]) {
            println!("an API that nobody serves is left: {error:#}");
        }
    }
}

/// The address of the API server, which is where the tests run too.
async fn control(space: &Space) -> Result<String> {
    let slices: Api<EndpointSlice> = Api::namespaced(space.client.clone(), "default");
    let own = slices.get("kubernetes").await?;
    let first = own.endpoints.and_then(|it| it.into_iter().next());
    let address = first.and_then(|it| it.addresses.into_iter().next());
    address.context("the API server has no address")
}

/// Tells the cluster who serves the API.
async fn announce(space: &Space, address: SocketAddr) -> Result<()> {
    let (ip, port, namespace) = (address.ip(), address.port(), &space.name);
    let service = "{metadata: {name: external}, spec: {ports: [{port: 443}]}}";
    space
        .apply::<Service>(&serde_yaml::from_str(service)?)
        .await?;
    let slice = format!(
        "{{metadata: {{name: external, labels: {{kubernetes.io/service-name: external}}}}, \
         addressType: IPv4, endpoints: [{{addresses: [{ip}]}}], ports: [{{name: '', port: {port}}}]}}"
    );
    space
        .apply::<EndpointSlice>(&serde_yaml::from_str(&slice)?)
        .await?;
    let (version, group) = SERVED.split_once('.').context("a version and a group")?;
    let served = format!(
        "{{metadata: {{name: {SERVED}}}, spec: {{group: {group}, version: {version}, \
         groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, \
         service: {{name: external, namespace: {namespace}}}}}}}"
    );
    let all: Api<APIService> = Api::all(space.client.clone());
    all.create(&PostParams::default(), &serde_yaml::from_str(&served)?)
        .await?;
    Ok(())
}

/// Answers on threads of their own until the tests end.
fn serve(listener: TcpListener, value: Arc<AtomicU32>) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([listener.local_addr()?.ip().to_string()])?;
    let certificate = CertificateDer::from(made.cert);
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, value) = (config.clone(), value.clone());
            // An error is a client that has gone.
            thread::spawn(move || answer(stream, config, &value).is_ok());
        }
    });
    Ok(())
}

/// One request a connection.
fn answer(stream: TcpStream, config: Arc<ServerConfig>, value: &AtomicU32) -> Result<()> {
    let connection = ServerConnection::new(config)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let mut line = String::from("more");
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line)?;
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match told(path, value.load(Ordering::Relaxed)) {
        Some(told) => ("200 OK", told.to_string()),
        None => ("404 Not Found", String::new()),
    };
    let mut stream = stream.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// What is served at a path.
fn told(path: &str, value: u32) -> Option<Value> {
    let (version, group) = SERVED.split_once('.')?;
    let rest = path.strip_prefix(&format!("/apis/{group}/{version}"))?;
    if rest.is_empty() {
        return Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": format!("{group}/{version}"),
            "resources": [{
                "name": External::METRIC, "singularName": "", "namespaced": true,
                "kind": "ExternalMetricValueList", "verbs": ["get"],
            }],
        }));
    }
    let name = rest.strip_prefix("/namespaces/")?.split('/').nth(1)?;
    (name == External::METRIC).then(|| {
        json!({
            "kind": "ExternalMetricValueList", "apiVersion": format!("{group}/{version}"),
            "metadata": {}, "items": [{
                "metricName": External::METRIC, "metricLabels": {},
                "timestamp": Timestamp::now().to_string(), "value": value.to_string(),
            }],
        })
    })
}
