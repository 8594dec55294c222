//! Every name that two parts of Chandler must agree on. A label, port, path, environment
//! variable or metric name appears here and nowhere else; `cargo xtask tidy` keeps it so.

/// The API group of every custom resource.
pub const GROUP: &str = "chandler.dev";
/// The served version of the API.
pub const VERSION: &str = "v1alpha1";
/// The kind of the one resource.
pub const KIND: &str = "ModelDeployment";
/// Server-side apply's field manager.
pub const FIELD_MANAGER: &str = "chandler";

/// Who reports the operator's events.
pub const EVENT_REPORTER: &str = "chandler.dev/operator";
/// The lease that operators elect their leader by.
pub const LEASE: &str = "chandler-operator";
/// The namespace that an installation has unless told otherwise.
pub const SYSTEM_NAMESPACE: &str = "chandler-system";

/// Labels on owned objects.
pub mod labels {
    /// Name of the `ModelDeployment` an object belongs to.
    pub const MODEL: &str = "chandler.dev/model";
    /// Revision hash an object belongs to.
    pub const REVISION: &str = "chandler.dev/revision";
    /// Kubernetes' own label for the program.
    pub const NAME: &str = "app.kubernetes.io/name";
    /// Kubernetes' own label for the installation: the model's name.
    pub const INSTANCE: &str = "app.kubernetes.io/instance";
    /// Kubernetes' own label for what an object does: [`SERVER`] or [`RESOLVER`].
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// Kubernetes' own label for who keeps an object: the field manager.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`COMPONENT`] on what answers requests.
    pub const SERVER: &str = "server";
    /// Value of [`COMPONENT`] on what resolves a source.
    pub const RESOLVER: &str = "resolver";
    /// Value of [`REVISION`] in the selector of a Service that nothing shall be behind.
    pub const NO_REVISION: &str = "none";
    /// `true` on a Secret that is an API key; see [`crate::names::api_key`].
    pub const API_KEY: &str = "chandler.dev/api-key";
    /// Kubernetes' own label for the pods of one template of a Deployment.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// Kubernetes' own label for a node: the topology that replicas are spread over.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
}

/// Names of the programs, as labels and images have them.
pub mod programs {
    /// What answers requests.
    pub const SERVER: &str = "chandler-server";
}

/// Annotations on owned objects.
pub mod annotations {
    /// Traffic weights by revision as JSON, on a model's Service.
    pub const WEIGHTS: &str = "chandler.dev/weights";
}

/// Ports, by the name that a Service or a probe uses.
pub mod ports {
    /// The server's one port: API, health and metrics.
    pub const HTTP_NAME: &str = "http";
    /// Port of a server in a pod. Local replicas bind an ephemeral port instead.
    pub const HTTP: u16 = 8000;
    /// The gateway's port.
    pub const GATEWAY: u16 = 8080;
    /// Health and metrics of the operator and of the gateway.
    pub const ADMIN: u16 = 8081;
    /// Name of [`ADMIN`].
    pub const ADMIN_NAME: &str = "admin";
    /// Port of the Services that callers use.
    pub const SERVICE: u16 = 80;
}

/// Bounds that every door keeps alike.
pub mod limits {
    /// Longest request body, bytes.
    pub const REQUEST_BODY: usize = 4 << 20;
}

/// Folders in a replica's containers, and the volumes behind them.
pub mod mounts {
    /// Downloaded models.
    pub const MODELS: &str = "/models";
    /// Volume of [`MODELS`].
    pub const MODELS_VOLUME: &str = "models";
    /// The claim of a `pvc://` source.
    pub const CLAIM: &str = "/claim";
    /// Volume of [`CLAIM`].
    pub const CLAIM_VOLUME: &str = "claim";
    /// The source's credentials, one file a key.
    pub const CREDENTIALS: &str = "/credentials";
    /// Volume of [`CREDENTIALS`].
    pub const CREDENTIALS_VOLUME: &str = "credentials";
    /// Scratch space.
    pub const TMP: &str = "/tmp";
    /// Volume of [`TMP`].
    pub const TMP_VOLUME: &str = "tmp";
    /// Where a container leaves its last words for its pod's status.
    pub const TERMINATION_LOG: &str = "/dev/termination-log";
    /// Folder of a node that its replicas share, for `cache.kind: node`.
    pub const NODE_CACHE: &str = "/var/lib/chandler/models";
}

/// Names of containers.
pub mod containers {
    /// Answers requests.
    pub const SERVER: &str = "server";
    /// Fetches the model's files before the server starts.
    pub const FETCH: &str = "fetch";
    /// Finds out which files a source stands for.
    pub const RESOLVE: &str = "resolve";
}

/// Paths of the server's operational endpoints.
pub mod paths {
    /// 200 while the engine's heartbeat beats.
    pub const LIVE: &str = "/livez";
    /// 200 while new requests are welcome.
    pub const READY: &str = "/readyz";
    /// Load phase and bytes as JSON; 200 once the model is loaded.
    pub const STARTUP: &str = "/startupz";
    /// Prometheus text format.
    pub const METRICS: &str = "/metrics";
}

/// Paths of others that Chandler sends to.
pub mod collector {
    /// Where an OpenTelemetry collector takes spans.
    pub const TRACES: &str = "/v1/traces";
}

/// Paths of the API that callers use.
pub mod api {
    /// Answers in a conversation.
    pub const CHAT: &str = "/v1/chat/completions";
    /// Text that goes on from a prompt.
    pub const COMPLETIONS: &str = "/v1/completions";
    /// Vectors of texts.
    pub const EMBEDDINGS: &str = "/v1/embeddings";
    /// The models that are served.
    pub const MODELS: &str = "/v1/models";
    /// One of them, as a route of axum; served names may hold slashes.
    pub const ONE_MODEL: &str = "/v1/models/{*name}";
}

/// Environment variables.
pub mod env {
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
}

/// Keys of a source's credentials that are no environment variables as well.
pub mod credentials {
    /// Bearer token.
    pub const TOKEN: &str = "token";
    /// User of basic authentication.
    pub const USERNAME: &str = "username";
    /// Password of basic authentication.
    pub const PASSWORD: &str = "password";
    /// Logins to registries, as `docker login` writes them.
    pub const DOCKER_CONFIG: &str = ".dockerconfigjson";
}

/// Keys of a Secret that is an API key. What is not there does not bound.
pub mod api_key {
    /// Value of the label on such a Secret.
    pub const LABELLED: &str = "true";
    /// How the text of every key begins that Chandler makes.
    pub const PREFIX: &str = "sk-chandler-";
    /// SHA-256 of the whole key, in hexadecimal.
    pub const HASH: &str = "hash";
    /// Names of models as callers use them, by commas; `*` allows all.
    pub const MODELS: &str = "models";
    /// Requests a minute.
    pub const REQUESTS: &str = "requestsPerMinute";
    /// Tokens of prompts and answers a minute.
    pub const TOKENS: &str = "tokensPerMinute";
    /// Requests at one time.
    pub const CONCURRENT: &str = "maxConcurrent";
    /// Share of a saturated model, relative to other keys; 1 unless told otherwise.
    pub const WEIGHT: &str = "weight";
    /// When the key was made, RFC 3339.
    pub const CREATED: &str = "created";
}

/// HTTP headers of ours.
pub mod headers {
    /// In an answer, the revision that gave it; in a request, the one that shall.
    pub const REVISION: &str = "x-chandler-revision";
    /// The caller's session: its requests go to one revision, and to one replica if not too busy.
    pub const SESSION: &str = "x-session-id";
    /// Seconds that the caller waits for the whole answer, as a decimal number.
    pub const REQUEST_TIMEOUT: &str = "x-request-timeout";
    /// A replica's load in ORCA's text form, such as `TEXT named_metrics.queued_tokens=123`.
    pub const LOAD: &str = "endpoint-load-metrics";
    /// A request's own name, given by its caller or else by the gateway, and echoed.
    pub const REQUEST_ID: &str = "x-request-id";
    /// W3C Trace Context: the trace and the span that a request belongs to.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C Trace Context: what vendors add to it.
    pub const TRACESTATE: &str = "tracestate";
}

/// OpenAI's headers of rate limits: a minute's limit, what is left of it, and until it is whole.
pub mod rate_headers {
    /// Requests a minute.
    pub const LIMIT_REQUESTS: &str = "x-ratelimit-limit-requests";
    /// Tokens a minute.
    pub const LIMIT_TOKENS: &str = "x-ratelimit-limit-tokens";
    /// Requests left now.
    pub const REMAINING_REQUESTS: &str = "x-ratelimit-remaining-requests";
    /// Tokens left now.
    pub const REMAINING_TOKENS: &str = "x-ratelimit-remaining-tokens";
    /// Until all requests of a minute are left.
    pub const RESET_REQUESTS: &str = "x-ratelimit-reset-requests";
    /// Until all tokens of a minute are left.
    pub const RESET_TOKENS: &str = "x-ratelimit-reset-tokens";
}

/// Fields of the load that a replica reports in [`headers::LOAD`].
pub mod load {
    /// Tokens of prompts that wait.
    pub const QUEUED_TOKENS: &str = "named_metrics.queued_tokens";
    /// Requests being computed.
    pub const RUNNING: &str = "named_metrics.running";
}

/// Targets of log lines that are switched on and off by themselves.
pub mod logs {
    /// One line a request, of the gateway.
    pub const ACCESS: &str = "access";
}

/// Names in traces. Those without a prefix of ours follow OpenTelemetry's semantic conventions.
pub mod spans {
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
}

/// Metric names. The server's follow vLLM, so endpoint pickers and dashboards work unconfigured.
pub mod metrics {
    /// Gauge: requests in the running batch.
    pub const REQUESTS_RUNNING: &str = "vllm:num_requests_running";
    /// Gauge: requests in the queue.
    pub const REQUESTS_WAITING: &str = "vllm:num_requests_waiting";
    /// Gauge: used share of the KV cache, 0 to 1.
    pub const KV_CACHE_USAGE: &str = "vllm:kv_cache_usage_perc";
    /// Counter: prompt tokens processed.
    pub const PROMPT_TOKENS: &str = "vllm:prompt_tokens_total";
    /// Counter: tokens generated.
    pub const GENERATION_TOKENS: &str = "vllm:generation_tokens_total";
    /// Counter by [`FINISHED_REASON`]: requests ended well.
    pub const REQUEST_SUCCESS: &str = "vllm:request_success_total";
    /// Label of [`REQUEST_SUCCESS`].
    pub const FINISHED_REASON: &str = "finished_reason";
    /// Counter: sequences pushed back to the queue.
    pub const PREEMPTIONS: &str = "vllm:num_preemptions_total";
    /// Histogram, seconds.
    pub const TIME_TO_FIRST_TOKEN: &str = "vllm:time_to_first_token_seconds";
    /// Histogram, seconds.
    pub const INTER_TOKEN_LATENCY: &str = "vllm:inter_token_latency_seconds";
    /// Histogram, seconds.
    pub const E2E_LATENCY: &str = "vllm:e2e_request_latency_seconds";
    /// Histogram, seconds.
    pub const QUEUE_TIME: &str = "vllm:request_queue_time_seconds";
    /// Label of every server metric: the served model's name.
    pub const MODEL_NAME: &str = "model_name";

    /// Gauge: bytes loaded so far.
    pub const LOAD_BYTES: &str = "chandler:load_bytes";
    /// Gauge: bytes to load in all.
    pub const LOAD_BYTES_TOTAL: &str = "chandler:load_bytes_expected";
    /// Gauge by `phase`: 1 for the phase the server is in.
    pub const LOAD_PHASE: &str = "chandler:load_phase";
    /// Gauge by `phase`: seconds spent in a phase of the start that is over.
    pub const PHASE_SECONDS: &str = "chandler:phase_seconds";
    /// Gauge: seconds since the last request ended or the model was ready; 0 while there is one.
    pub const IDLE_SECONDS: &str = "chandler:idle_seconds";

    /// Counter by model, revision and status code.
    pub const GATEWAY_REQUESTS: &str = "chandler_gateway_requests_total";
    /// Gauge by model: requests being proxied.
    pub const GATEWAY_IN_FLIGHT: &str = "chandler_gateway_requests_in_flight";
    /// Gauge by model, `namespace/name`: requests that wait for a first replica. They wake it.
    pub const GATEWAY_WAITING: &str = "chandler_gateway_requests_waiting";
    /// Gauge by model: seconds since its last request ended or it was known; 0 while there is one.
    pub const GATEWAY_IDLE: &str = "chandler_gateway_idle_seconds";
    /// Counter by model: requests sent again to another replica.
    pub const GATEWAY_RETRIES: &str = "chandler_gateway_retries_total";
    /// Counter by model and outcome: requests sent to a second replica too, or not for want of budget.
    pub const GATEWAY_HEDGES: &str = "chandler_gateway_hedges_total";
    /// Gauge by kind of object: 1 while the API server tells of changes.
    pub const GATEWAY_WATCH_CONNECTED: &str = "chandler_gateway_watch_connected";
    /// Histogram by model: seconds until the upstream's response head.
    pub const GATEWAY_UPSTREAM_SECONDS: &str = "chandler_gateway_upstream_response_seconds";

    /// Counter by account, model and direction: tokens of prompts and of answers.
    pub const GATEWAY_TOKENS: &str = "chandler_gateway_tokens_total";
    /// Counter by account and bound: requests refused because of an account's limits.
    pub const GATEWAY_RATE_LIMITED: &str = "chandler_gateway_rate_limited_total";
    /// Gauge by model: requests that wait for their turn at a saturated model.
    pub const GATEWAY_QUEUED: &str = "chandler_gateway_requests_queued";
    /// Gauge: 1 while no API key is configured and everyone may ask.
    pub const GATEWAY_OPEN: &str = "chandler_gateway_open";
    /// Gauge: connections of callers that are open.
    pub const GATEWAY_CONNECTIONS: &str = "chandler_gateway_connections";
    /// Counter by reason: connections of callers that the gateway itself ended.
    pub const GATEWAY_CONNECTIONS_ENDED: &str = "chandler_gateway_connections_ended_total";
    /// Gauge: 1 while the certificate's files hold a pair that can't be used.
    pub const GATEWAY_CERTIFICATE_REFUSED: &str = "chandler_gateway_certificate_refused";
    /// Counter: lines of the access log that were dropped because they were not taken fast enough.
    pub const GATEWAY_ACCESS_LINES_LOST: &str = "chandler_gateway_access_lines_lost_total";
    /// Counter: spans that no collector took.
    pub const GATEWAY_SPANS_LOST: &str = "chandler_gateway_spans_lost_total";

    /// Counter by outcome: turns of the operator.
    pub const OPERATOR_TURNS: &str = "chandler_operator_reconciles_total";
    /// Histogram, seconds: a turn of the operator.
    pub const OPERATOR_TURN_SECONDS: &str = "chandler_operator_reconcile_seconds";
    /// Counter by action and outcome.
    pub const OPERATOR_ACTIONS: &str = "chandler_operator_actions_total";
    /// Gauge: 1 on the operator that leads.
    pub const OPERATOR_LEADER: &str = "chandler_operator_leader";
    /// Gauge by condition and its status: models.
    pub const OPERATOR_MODELS: &str = "chandler_operator_models";
    /// Gauge by state: gateways that the leader found, by whether they tell of requests.
    pub const OPERATOR_GATEWAYS: &str = "chandler_operator_gateways";
    /// Histogram by phase, seconds: from a first replica's creation to its first answer.
    pub const STARTUP_SECONDS: &str = "chandler_startup_seconds";
    /// Gauge: memory that a process occupies.
    pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
}
