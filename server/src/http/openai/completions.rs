//! `/v1/completions`.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;

use super::generation::{Generation, answers};
use super::params::{Aids, IGNORED, Params};
use super::shape::{Kind, Shape};
use super::{inputs, off_thread, standing};
use crate::engine::{Constraint, Deadline, EventStream, GenerateRequest, Refused};
use crate::http::limits::read_fields;
use crate::http::models::{check_model, text_task};
use crate::http::room::Turn;
use crate::http::{ApiError, App, unix_seconds};
use crate::lifecycle::Ticket;
use crate::tasks::{Input, PromptError, TextTask};

/// Tokens of an answer when the request names no number, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: usize = 16;

pub(in crate::http) async fn completions(
    State(app): State<Arc<App>>,
    Extension(ticket): Extension<Arc<Ticket>>,
    request: Request,
) -> Result<Response, ApiError> {
    let path = request.uri().path().to_owned();
    let caller = standing::named_caller(request.headers());
    let (mut fields, turn) = read_fields(request, &app.room).await?;
    check_model(&app, &mut fields)?;
    let task = text_task(&app, &path)?;
    // A choice for each prompt; more of them than may wait could never be taken.
    let most = task.engine().queue_capacity();
    let inputs = inputs::take(&mut fields, "prompt", most)?;
    let most_answers = most / inputs.len().max(1);
    let params = Params::take(
        &mut fields,
        Kind::Completion,
        caller,
        task.vocab_size(),
        most_answers,
    )?;
    fields.finish(IGNORED)?;
    task.engine().check_room()?;
    let (prompts, aids) = prepare(task, inputs, turn, &params).await?;
    let generation = Generation {
        shape: Shape::new(Kind::Completion, unix_seconds(), app.name.clone())
            .with_logprobs(aids.vocabulary),
        sequences: submit(
            task,
            prompts,
            &params,
            aids.constraint.as_ref(),
            ticket.deadline(),
        )?,
        n: params.n,
        calling: None,
        include_usage: params.include_usage,
        ticket,
    };
    generation.answer(params.stream).await
}

/// The tokens of the prompts, and what their answers take beside them.
async fn prepare(
    task: &TextTask,
    inputs: Vec<Input>,
    turn: Turn,
    params: &Params,
) -> Result<(Vec<Vec<u32>>, Aids), ApiError> {
    let (task, form) = (task.clone(), params.form.clone());
    let tells = params.logprobs.is_some();
    off_thread(turn, move || {
        let prompts = inputs.iter().map(|input| task.prompt(input));
        let prompts = prompts.collect::<Result<Vec<_>, PromptError>>()?;
        let aids = Aids::prepare(&task, form.as_ref(), tells)?;
        Ok::<_, ApiError>((prompts, aids))
    })
    .await
}

fn submit(
    task: &TextTask,
    prompts: Vec<Vec<u32>>,
    params: &Params,
    constraint: Option<&Constraint>,
    deadline: Deadline,
) -> Result<Vec<EventStream>, Refused> {
    let asked = params.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
    let request = |prompt: Vec<u32>| GenerateRequest {
        max_tokens: task.budget(prompt.len(), Some(asked)),
        prompt,
        stop: params.stop.clone(),
        sampling: params.sampling.clone(),
        constraint: constraint.cloned(),
        shows_special: false,
        logprobs: params.logprobs,
        echo: params.echo,
        standing: params.standing,
        deadline,
        measured: true,
    };
    let sequences = prompts
        .into_iter()
        .map(|prompt| answers(task, params.n, request(prompt)));
    let sequences: Vec<_> = sequences.collect::<Result<_, _>>()?;
    Ok(sequences.into_iter().flatten().collect())
}
