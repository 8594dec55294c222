//! Names in traces. Those without a prefix of ours follow OpenTelemetry's semantic conventions.

/// One request, as the gateway saw it.
pub const REQUEST: &str = "gateway.request";
/// One try at a replica; child of [`REQUEST`].
pub const ATTEMPT: &str = "gateway.attempt";
/// The service in every trace.
pub const SERVICE: &str = "chandler-gateway";
/// Attribute of the resource: the service's name.
pub const SERVICE_NAME: &str = "service.name";
/// Attribute of the resource: the service's version.
pub const SERVICE_VERSION: &str = "service.version";
/// Attribute: method of the request.
pub const METHOD: &str = "http.request.method";
/// Attribute: path without its query.
pub const PATH: &str = "url.path";
/// Attribute: status of the answer.
pub const STATUS: &str = "http.response.status_code";
/// Attribute: bytes of the request's body.
pub const REQUEST_BYTES: &str = "http.request.body.size";
/// Attribute: bytes of the answer's body.
pub const RESPONSE_BYTES: &str = "http.response.body.size";
/// Attribute: how often the request had been sent before.
pub const RESEND_COUNT: &str = "http.request.resend_count";
/// Attribute: what went wrong.
pub const ERROR: &str = "error.type";
/// Attribute: the model that the caller asked for.
pub const MODEL: &str = "gen_ai.request.model";
/// Attribute: what is asked of the model.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Attribute: the revision that answered.
pub const REVISION: &str = "chandler.revision";
/// Attribute: the replica.
pub const ENDPOINT: &str = "chandler.endpoint";
/// Attribute: whose key the caller had.
pub const ACCOUNT: &str = "chandler.account";
/// Attribute: the request's own name.
pub const REQUEST_ID: &str = "chandler.request_id";
