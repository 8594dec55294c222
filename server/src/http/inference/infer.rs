//! `/v2/models/NAME/infer`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Request as HttpRequest, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::limits::read_fields;
use super::super::models::{served, wrong_endpoint};
use super::super::openai::{MAX_INPUTS, vectors};
use super::super::{ApiError, App};
use super::outputs::{Output, Outputs};
use super::tensors::{as_json, texts, wanted};
use super::{Names, VERSION, check};
use crate::lifecycle::Ticket;

/// Texts as a tensor.
#[derive(JsonSchema)]
#[schemars(rename = "InferenceRequest", deny_unknown_fields)]
#[expect(dead_code, reason = "a type that only its schema is made of")]
pub(in crate::http) struct Request {
    /// Comes back with the answer.
    id: Option<String>,
    parameters: Option<Parameters>,
    #[schemars(length(min = 1, max = 1))]
    inputs: Vec<TextTensor>,
    /// What is to be answered, in this order: all outputs without it.
    outputs: Option<Vec<Wanted>>,
}

/// The input. Other fields are not looked at.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a type that only its schema is made of")]
struct TextTensor {
    #[schemars(extend("const" = "text"))]
    name: String,
    #[schemars(extend("const" = "BYTES"))]
    datatype: String,
    /// `[n]` or `[n, 1]`.
    #[schemars(length(min = 1, max = 2), inner(range(min = 1, max = MAX_INPUTS)))]
    shape: Vec<u64>,
    parameters: Option<Parameters>,
    /// The texts, as many as the shape tells: flat, or each in an array.
    #[schemars(length(min = 1, max = MAX_INPUTS))]
    data: Vec<Text>,
}

/// A text.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "a type that only its schema is made of")]
enum Text {
    Flat(#[schemars(length(min = 1))] String),
    Nested(#[schemars(length(min = 1, max = 1), inner(length(min = 1)))] Vec<String>),
}

/// Not looked at, but that tensors beside the JSON, as bytes, are refused.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a type that only its schema is made of")]
struct Parameters {
    #[schemars(extend("enum" = [false, null]))]
    binary_data: Option<bool>,
    #[schemars(extend("enum" = [false, null]))]
    binary_data_output: Option<bool>,
    #[schemars(extend("enum" = [false, null]))]
    binary_data_size: Option<bool>,
}

/// An output that is to be answered. Other fields are not looked at.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "a type that only its schema is made of")]
struct Wanted {
    /// Models that make vectors have `embedding`, classifiers the others.
    #[schemars(extend("enum" = ["embedding", "probabilities", "label"]))]
    name: String,
    parameters: Option<Parameters>,
}

/// What a model makes of texts, as tensors.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "InferenceResponse")]
pub(in crate::http) struct Response {
    model_name: String,
    model_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<Output>,
}

pub(in crate::http) async fn infer(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    Path(names): Names,
    request: HttpRequest,
) -> Result<Json<Response>, ApiError> {
    check(&app, &names)?;
    let path = request.uri().path().to_owned();
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    let served = served(&app)?;
    let outputs = Outputs::of(served).ok_or_else(|| wrong_endpoint(&app, served.task(), &path))?;
    let id = fields.string("id")?;
    as_json("", fields.take("parameters").as_ref())?;
    let texts = texts(fields.take("inputs"))?;
    let wanted = wanted(fields.take("outputs"), outputs.names())?;
    fields.finish(&[])?;
    let (vectors, _) = vectors(outputs.encoder(), texts, turn, &ticket).await?;
    let filled = wanted
        .into_iter()
        .map(|name| outputs.filled(name, &vectors));
    Ok(Json(Response {
        model_name: app.name.clone(),
        model_version: VERSION,
        id,
        outputs: filled.collect(),
    }))
}
