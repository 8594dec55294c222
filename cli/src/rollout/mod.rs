//! `chandler rollout`: how a model in a cluster goes from one revision to another. Each command but
//! the first two changes the spec, as a commit to a repository of manifests could.

mod args;
mod history;
mod model;
mod status;
mod steer;
mod undo;

use std::process::ExitCode;

use anyhow::{Context, Result};

pub(crate) use args::RolloutCommand;

/// Runs one of the commands.
pub(crate) fn run(command: &RolloutCommand) -> ExitCode {
    match perform(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: &RolloutCommand) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let told = match command {
            RolloutCommand::Status(args) => return status::run(args).await,
            RolloutCommand::History(args) => history::run(args).await?,
            RolloutCommand::Undo(args) => undo::run(args).await?,
            RolloutCommand::Promote(args) => steer::promote(args).await?,
            RolloutCommand::Abort(args) => steer::abort(args).await?,
            RolloutCommand::Pause(args) => steer::pause(args).await?,
            RolloutCommand::Resume(args) => steer::resume(args).await?,
            RolloutCommand::Retry(args) => steer::retry(args).await?,
        };
        print!("{told}");
        Ok(ExitCode::SUCCESS)
    })
}
