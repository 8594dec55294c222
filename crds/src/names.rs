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

/// Labels and annotations on owned objects.
pub mod labels {
    /// Name of the `ModelDeployment` an object belongs to.
    pub const MODEL: &str = "chandler.dev/model";
    /// Revision hash an object belongs to.
    pub const REVISION: &str = "chandler.dev/revision";
}

/// Ports, by the name that a Service or a probe uses.
pub mod ports {
    /// The server's one port: API, health and metrics.
    pub const HTTP_NAME: &str = "http";
    /// Port of a server in a pod. Local replicas bind an ephemeral port instead.
    pub const HTTP: u16 = 8000;
    /// The gateway's port.
    pub const GATEWAY: u16 = 8080;
}

/// Bounds that every door keeps alike.
pub mod limits {
    /// Longest request body, bytes.
    pub const REQUEST_BODY: usize = 4 << 20;
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
}

/// HTTP headers of ours.
pub mod headers {
    /// The revision that answered.
    pub const REVISION: &str = "x-chandler-revision";
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

    /// Counter by model, revision and status code.
    pub const GATEWAY_REQUESTS: &str = "chandler_gateway_requests_total";
    /// Gauge by model: requests being proxied.
    pub const GATEWAY_IN_FLIGHT: &str = "chandler_gateway_requests_in_flight";
    /// Counter by model: requests sent again to another replica.
    pub const GATEWAY_RETRIES: &str = "chandler_gateway_retries_total";
    /// Histogram by model: seconds until the upstream's response head.
    pub const GATEWAY_UPSTREAM_SECONDS: &str = "chandler_gateway_upstream_response_seconds";
}
