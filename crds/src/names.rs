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

/// HTTP headers of ours.
pub mod headers {
    /// The revision that answered.
    pub const REVISION: &str = "x-chandler-revision";
    /// A replica's load in ORCA's text form, such as `TEXT named_metrics.queued_tokens=123`.
    pub const LOAD: &str = "endpoint-load-metrics";
    /// The tokens of [`LOAD`] that wait to be computed.
    pub const LOAD_QUEUED_TOKENS: &str = "named_metrics.queued_tokens";
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

    /// Counter by model, revision and status code.
    pub const GATEWAY_REQUESTS: &str = "chandler_gateway_requests_total";
    /// Gauge by model: requests being proxied.
    pub const GATEWAY_IN_FLIGHT: &str = "chandler_gateway_requests_in_flight";
    /// Counter by model: requests sent again to another replica.
    pub const GATEWAY_RETRIES: &str = "chandler_gateway_retries_total";
    /// Gauge by kind of object: 1 while the API server tells of changes.
    pub const GATEWAY_WATCH_CONNECTED: &str = "chandler_gateway_watch_connected";
    /// Histogram by model: seconds until the upstream's response head.
    pub const GATEWAY_UPSTREAM_SECONDS: &str = "chandler_gateway_upstream_response_seconds";

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
    /// Histogram by phase, seconds: from a first replica's creation to its first answer.
    pub const STARTUP_SECONDS: &str = "chandler_startup_seconds";
    /// Gauge: memory that a process occupies.
    pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
}
