//! `/v1/chat/completions`.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;

use super::form::Wanted;
use super::generation::{Generation, answers};
use super::params::{Aids, IGNORED, Params};
use super::shape::{Kind, Shape};
use super::tools::{Calling, Tools};
use super::{messages, off_thread, standing, tools};
use crate::engine::GenerateRequest;
use crate::http::limits::read_fields;
use crate::http::models::{check_model, text_task};
use crate::http::{ApiError, App, unix_seconds};
use crate::lifecycle::Ticket;
use crate::load::ChatMessage;
use crate::tasks::{PromptError, TextTask};

pub(in crate::http) async fn chat(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path().to_owned();
    let caller = standing::named_caller(request.headers());
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let task = text_task(&app, &path)?;
    if !task.has_chat() {
        return Err(PromptError::NoChat.into());
    }
    let messages = messages::take(&mut fields)?;
    let tools = tools::take(&mut fields)?;
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
    let asked = Asked {
        messages,
        tools,
        form: params.form.clone(),
        tells: params.logprobs.is_some(),
    };
    let prepared = {
        let task = task.clone();
        off_thread(turn, move || asked.prepare(&task)).await?
    };
    let shape = Shape::new(Kind::Chat, unix_seconds(), app.name.clone());
    let generation = Generation {
        shape: shape.with_logprobs(prepared.aids.vocabulary.clone()),
        n: params.n,
        calling: prepared.calling,
        include_usage: params.include_usage,
        sequences: answers(task, params.n, prepared.request(task, &params, &ticket))?,
        ticket,
    };
    generation.answer(params.stream).await
}

/// What a chat asks for, before it is made ready for the engine.
struct Asked {
    messages: Vec<ChatMessage>,
    tools: Option<Tools>,
    form: Option<Wanted>,
    /// Whether it is told how likely tokens were.
    tells: bool,
}

/// A chat that is ready for the engine.
struct Prepared {
    prompt: Vec<u32>,
    aids: Aids,
    /// How calls of tools are found in answers, where there are tools.
    calling: Option<Calling>,
    /// Whether what marks a call is a special token.
    shows_special: bool,
}

impl Prepared {
    fn request(self, task: &TextTask, params: &Params, ticket: &Ticket) -> GenerateRequest {
        GenerateRequest {
            max_tokens: task.budget(self.prompt.len(), params.max_tokens),
            prompt: self.prompt,
            stop: params.stop.clone(),
            sampling: params.sampling.clone(),
            constraint: self.aids.constraint,
            shows_special: self.shows_special,
            logprobs: params.logprobs,
            echo: params.echo,
            standing: params.standing,
            deadline: ticket.deadline(),
            measured: true,
        }
    }
}

impl Asked {
    /// Blocks.
    fn prepare(self, task: &TextTask) -> Result<Prepared, ApiError> {
        let Self {
            messages,
            tools,
            mut form,
            tells,
        } = self;
        let calling = tools::calling(task, &messages, tools.as_ref())?;
        if let (Some(tools), Some(calling)) = (&tools, calling) {
            form = tools.form(task, calling.format, form)?;
        }
        let listed = tools.map(|tools| tools.listed).unwrap_or_default();
        let is_special = |text: &str| task.special_token(text).is_some();
        Ok(Prepared {
            prompt: task.chat_prompt(&messages, &listed)?,
            aids: Aids::prepare(task, form.as_ref(), tells)?,
            shows_special: calling.is_some_and(|it| it.format.markers().any(is_special)),
            calling,
        })
    }
}
