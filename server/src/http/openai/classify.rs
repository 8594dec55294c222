//! `/classify`, in vLLM's form.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Request, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::embeddings::{MAX_INPUTS, Read, vectors};
use super::inputs;
use crate::http::limits::read_fields;
use crate::http::models::{check_model, classification_task};
use crate::http::{ApiError, App, unix_seconds};
use crate::lifecycle::Ticket;

/// The labels of texts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClassificationAnswer")]
pub(in crate::http) struct Answer {
    id: String,
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// Unix seconds.
    created: u64,
    model: String,
    data: Vec<Item>,
    usage: Read,
}

/// The labels of one text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClassificationItem")]
struct Item {
    index: usize,
    /// The likeliest label; of equally likely ones the first.
    label: String,
    /// How likely each label is, in the order of the model's labels. A regression's scores are as they are.
    probs: Vec<f32>,
    /// How many labels there are.
    num_classes: usize,
}

pub(in crate::http) async fn classify(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    request: Request,
) -> Result<Json<Answer>, ApiError> {
    let path = request.uri().path().to_owned();
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let task = classification_task(&app, &path)?;
    let inputs = inputs::take(&mut fields, "input", MAX_INPUTS)?;
    fields.finish(&["user"])?;
    let (vectors, tokens) = vectors(task.encoder(), inputs, turn, &ticket).await?;
    let items = vectors.into_iter().enumerate().map(|(index, probs)| Item {
        index,
        label: task.likeliest(&probs).to_owned(),
        num_classes: probs.len(),
        probs,
    });
    Ok(Json(Answer {
        id: format!("classify-{:032x}", rand::random::<u128>()),
        object: "list",
        created: unix_seconds(),
        model: app.name.clone(),
        data: items.collect(),
        usage: Read::of(tokens),
    }))
}
