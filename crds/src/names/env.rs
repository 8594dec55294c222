//! Environment variables.

/// Folder of downloaded models.
pub const CACHE: &str = "CHANDLER_CACHE";
/// A `ModelLock` as JSON: the files that a worker must serve, by digest.
pub const LOCK: &str = "CHANDLER_LOCK";
/// Base address of the model hub.
pub const HUB: &str = "HF_ENDPOINT";
/// Bearer token for the model hub.
pub const HUB_TOKEN: &str = "HF_TOKEN";
/// Folder with the source's credentials, one file a key.
pub const CREDENTIALS: &str = "CHANDLER_CREDENTIALS";
/// Folder where the claim of a `pvc://` source is mounted.
pub const CLAIM: &str = "CHANDLER_CLAIM";
/// Registries spoken to without TLS: `host:port`, by commas.
pub const OCI_PLAIN_HTTP: &str = "CHANDLER_OCI_PLAIN_HTTP";
/// Address of an S3 service other than AWS. A key of credentials too.
pub const AWS_ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// Region of a bucket. A key of credentials too.
pub const AWS_REGION: &str = "AWS_REGION";
/// `true` allows an S3 service without TLS.
pub const AWS_ALLOW_HTTP: &str = "AWS_ALLOW_HTTP";
/// Name of an S3 key. A key of credentials too.
pub const AWS_ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
/// Secret of an S3 key. A key of credentials too.
pub const AWS_SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// Token of an S3 key that is valid for some time. A key of credentials too.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// Ends the operator at a boundary between actions; for tests of faults.
pub const FAILPOINT: &str = "CHANDLER_FAILPOINT";
/// Name of the pod that a process runs in.
pub const POD_NAME: &str = "POD_NAME";
/// Base address of a collector of traces, as OpenTelemetry names it.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Namespace of the pod that a process runs in.
pub const POD_NAMESPACE: &str = "POD_NAMESPACE";
/// API key of a caller of the gateway.
pub const API_KEY: &str = "CHANDLER_API_KEY";
