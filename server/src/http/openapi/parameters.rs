//! What requests and answers have beside their bodies.

use chandler_crds::names::headers;
use serde_json::{Value, json};

use super::super::inference::VERSION;

/// The parameters in a route's path. Of models there is one, in one version.
pub(super) fn of_path(path: &str, model: &str) -> Vec<Value> {
    let segments = path.split('/');
    let names = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| {
        let name = name.trim_start_matches('*');
        let (description, value) = match name {
            "version" => ("The model's one version.", VERSION),
            _ => ("The name that the model is served by.", model),
        };
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": description,
            "schema": {"type": "string", "enum": [value]},
        })
    };
    names.map(parameter).collect()
}

/// The headers that the gate reads.
pub(super) fn of_headers() -> Vec<Value> {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "description": description, "schema": schema});
    vec![
        header(
            headers::REQUEST_TIMEOUT,
            "Seconds for the whole answer, as a decimal number. Then it is 504; in a stream, an error event.",
            json!({"type": "string", "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)$", "examples": ["30"]}),
        ),
        header(
            headers::REQUEST_ID,
            "The request's name in logs.",
            json!({"type": "string"}),
        ),
        header(
            headers::TRACEPARENT,
            "The caller's trace and span, told in logs.",
            json!({"type": "string"}),
        ),
        header(
            headers::CALLER,
            "Whose request it is, by the gateway's word. Callers take turns where text is written.",
            json!({"type": "string"}),
        ),
    ]
}

/// When to ask again.
pub(super) fn retry_after() -> Value {
    json!({"Retry-After": {
        "description": "Seconds after which to ask again; absent where nobody can tell.",
        "schema": {"type": "integer", "minimum": 0},
    }})
}
