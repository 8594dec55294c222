//! Metric names. The server's follow vLLM, so endpoint pickers and dashboards work unconfigured.

/// Gauge: requests in the running batch.
pub const REQUESTS_RUNNING: &str = "vllm:num_requests_running";
/// Gauge: most requests in the running batch; 0 if there is no such bound. vLLM does not tell.
pub const MOST_RUNNING: &str = "chandler:max_requests_running";
/// Gauge: tokens of prompts that a replica reads a second, as its last steps took; 0 until it has read any.
/// vLLM does not tell.
pub const PREFILL_RATE: &str = "chandler:prefill_tokens_per_second";
/// Gauge: tokens that a replica's largest batch so far writes a second, in steps that read none; 0 until it
/// has written any. vLLM does not tell.
pub const DECODE_RATE: &str = "chandler:decode_tokens_per_second";
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
/// Gauge: bytes that a replica can still take before it is killed for it or memory is swapped.
pub const MEMORY_AVAILABLE: &str = "chandler:memory_available_bytes";
/// Counter: requests that a replica refused for want of memory.
pub const MEMORY_REFUSALS: &str = "chandler:memory_refusals_total";

/// Label of the gateway's metrics: a model, by its key or by the name that callers use.
pub const MODEL: &str = "model";
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
/// Counter by outcome: questions to replicas for their load.
pub const OPERATOR_SCRAPES: &str = "chandler_operator_scrapes_total";
/// Counter by outcome: turns of models at work that were done in memory alone, to see whether one
/// would change anything.
pub const OPERATOR_GLANCES: &str = "chandler_operator_glances_total";
/// Gauge by state: replicas that the leader asks, by whether they told their load lately.
pub const OPERATOR_REPLICAS: &str = "chandler_operator_replicas";
/// Histogram by phase, seconds: from a first replica's creation to its first answer.
pub const STARTUP_SECONDS: &str = "chandler_startup_seconds";
/// Gauge: memory that a process occupies.
pub const RESIDENT_MEMORY: &str = "process_resident_memory_bytes";

/// What stands behind a histogram's name in that of its buckets.
pub const BUCKET: &str = "_bucket";
/// And in that of its sum.
pub const SUM: &str = "_sum";
/// Label of a bucket's upper bound.
pub const BOUND: &str = "le";

/// Upper bounds of [`TIME_TO_FIRST_TOKEN`], as vLLM has them.
pub const FIRST_TOKEN_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
/// Upper bounds of [`INTER_TOKEN_LATENCY`], as vLLM has them.
pub const NEXT_TOKEN_BUCKETS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
/// Upper bounds of [`E2E_LATENCY`] and [`QUEUE_TIME`], as vLLM has them.
pub const REQUEST_BUCKETS: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
