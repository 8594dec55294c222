//! `/v1/chat/completions`.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;

use super::generation::{Generation, answers};
use super::params::{IGNORED, Params};
use super::shape::{Kind, Shape};
use super::{messages, off_thread, standing};
use crate::engine::GenerateRequest;
use crate::http::limits::read_fields;
use crate::http::models::{check_model, text_task};
use crate::http::{ApiError, App, unix_seconds};
use crate::lifecycle::Ticket;
use crate::tasks::PromptError;

pub(in crate::http) async fn chat(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path().to_owned();
    let caller = standing::named_caller(request.headers());
    let mut fields = read_fields(request).await?;
    check_model(&app, &mut fields)?;
    let task = text_task(&app, &path)?;
    if !task.has_chat() {
        return Err(PromptError::NoChat.into());
    }
    let messages = messages::take(&mut fields)?;
    let most_answers = task.engine().queue_capacity();
    let params = Params::take(
        &mut fields,
        Kind::Chat,
        caller,
        task.vocab_size(),
        most_answers,
    )?;
    fields.finish(IGNORED)?;
    task.engine().check_room()?;
    let (prompt, vocabulary) = {
        let (task, tells) = (task.clone(), params.logprobs.is_some());
        off_thread(move || {
            let prompt = task.chat_prompt(&messages, &[])?;
            Ok::<_, PromptError>((prompt, tells.then(|| task.vocabulary())))
        })
        .await?
    };
    let request = GenerateRequest {
        max_tokens: task.budget(prompt.len(), params.max_tokens),
        prompt,
        stop: params.stop,
        sampling: params.sampling,
        constraint: None,
        shows_special: false,
        logprobs: params.logprobs,
        standing: params.standing,
        deadline: ticket.deadline(),
        measured: true,
    };
    let generation = Generation {
        shape: Shape::new(Kind::Chat, unix_seconds(), app.name.clone()).with_logprobs(vocabulary),
        sequences: answers(task, params.n, request)?,
        n: params.n,
        include_usage: params.include_usage,
        ticket,
    };
    generation.answer(params.stream).await
}
