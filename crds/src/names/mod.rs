//! Every name that two parts of Chandler must agree on. A label, port, path, environment
//! variable or metric name appears in this folder and nowhere else; `cargo xtask tidy` keeps it so.

pub mod env;
pub mod metrics;
pub mod spans;

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
    /// Kubernetes' own label for what an object does: [`SERVER`], [`RESOLVER`] or [`EVALUATOR`].
    pub const COMPONENT: &str = "app.kubernetes.io/component";
    /// Kubernetes' own label for who keeps an object: the field manager.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`COMPONENT`] on what answers requests.
    pub const SERVER: &str = "server";
    /// Value of [`COMPONENT`] on what resolves a source.
    pub const RESOLVER: &str = "resolver";
    /// Value of [`COMPONENT`] on what judges answers.
    pub const EVALUATOR: &str = "evaluator";
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
    /// The suites of a rollout's evaluations: a folder each, by number.
    pub const SUITES: &str = "/suites";
    /// Where a container leaves its last words for its pod's status.
    pub const TERMINATION_LOG: &str = "/dev/termination-log";
    /// Folder of a node that its replicas share, for `cache.kind: node`.
    pub const NODE_CACHE: &str = "/var/lib/chandler/models";
}

/// ConfigMaps with questions.
pub mod suites {
    /// The key of the questions, where a spec names none.
    pub const KEY: &str = "suite.jsonl";
}

/// Names of containers.
pub mod containers {
    /// Answers requests.
    pub const SERVER: &str = "server";
    /// Fetches the model's files before the server starts.
    pub const FETCH: &str = "fetch";
    /// Finds out which files a source stands for.
    pub const RESOLVE: &str = "resolve";
    /// Asks two revisions the questions of suites, and judges the answers.
    pub const EVALUATE: &str = "evaluate";
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
    /// What a gateway counts of the revisions that share a model's traffic, as JSON.
    pub const TALLIES: &str = "/tallies";
}

/// Paths of others that Chandler sends to.
pub mod collector {
    /// Where an OpenTelemetry collector takes spans.
    pub const TRACES: &str = "/v1/traces";
}

/// A Prometheus server's HTTP API, and the labels that it adds to what it scrapes of a pod.
pub mod prometheus {
    /// Answers an expression for one moment.
    pub const QUERY: &str = "/api/v1/query";
    /// Label of the metric's name.
    pub const NAME: &str = "__name__";
    /// Label of a pod's namespace, by convention.
    pub const NAMESPACE: &str = "namespace";
    /// Label of a pod's name, by convention.
    pub const POD: &str = "pod";
    /// Label of the settings by which something is scraped.
    pub const JOB: &str = "job";
    /// Label of where it is scraped.
    pub const INSTANCE: &str = "instance";
}

/// Paths of the API that callers use.
pub mod api {
    /// Answers in a conversation.
    pub const CHAT: &str = "/v1/chat/completions";
    /// Text that goes on from a prompt.
    pub const COMPLETIONS: &str = "/v1/completions";
    /// Vectors of texts.
    pub const EMBEDDINGS: &str = "/v1/embeddings";
    /// Labels of texts.
    pub const CLASSIFY: &str = "/classify";
    /// The tokens of a text.
    pub const TOKENIZE: &str = "/tokenize";
    /// The text of tokens.
    pub const DETOKENIZE: &str = "/detokenize";
    /// The models that are served.
    pub const MODELS: &str = "/v1/models";
    /// One of them, as a route of axum; served names may hold slashes.
    pub const ONE_MODEL: &str = "/v1/models/{*name}";
    /// The API as an OpenAPI document.
    pub const OPENAPI: &str = "/openapi.json";
}

/// Paths of the Open Inference Protocol, version 2, as routes of axum. A slash in a model's name is written
/// `%2F` in them.
pub mod inference {
    /// What the server is.
    pub const SERVER: &str = "/v2";
    /// 200 while the server lives.
    pub const LIVE: &str = "/v2/health/live";
    /// 200 while new requests are welcome.
    pub const READY: &str = "/v2/health/ready";
    /// Begins the paths of a model.
    pub const MODELS: &str = "/v2/models/";
    /// A model's inputs and outputs.
    pub const MODEL: &str = "/v2/models/{name}";
    /// 200 while the model takes requests.
    pub const MODEL_READY: &str = "/v2/models/{name}/ready";
    /// Tensors in, tensors out.
    pub const INFER: &str = "/v2/models/{name}/infer";
    /// [`MODEL`] of one version.
    pub const VERSION: &str = "/v2/models/{name}/versions/{version}";
    /// [`MODEL_READY`] of one version.
    pub const VERSION_READY: &str = "/v2/models/{name}/versions/{version}/ready";
    /// [`INFER`] of one version.
    pub const VERSION_INFER: &str = "/v2/models/{name}/versions/{version}/infer";
}

/// Keys of a source's credentials that are no environment variables as well.
pub mod credentials {
    /// Bearer token.
    pub const TOKEN: &str = "token";
    /// User of basic authentication.
    pub const USERNAME: &str = "username";
    /// Password of basic authentication.
    pub const PASSWORD: &str = "password";
    /// Certificates, as PEM, of authorities to trust besides those of the system.
    pub const AUTHORITIES: &str = "ca.crt";
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
    /// To a replica, who asks: the account whose key the gateway was shown. Replicas take turns between
    /// callers; from a client's own request the gateway does not pass it on.
    pub const CALLER: &str = "x-chandler-caller";
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
