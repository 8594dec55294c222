//! Arguments of `chandler rollout`.

use clap::{Args, Subcommand};

use crate::args::ModelArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Tell how far the rollout is, and wait for its end.
    Status(StatusArgs),
    /// List the revisions that there are and have been.
    History(ModelArgs),
    /// Go back to a revision that was: the spec asks for it again, and its very files come back.
    Undo(UndoArgs),
    /// Give the new revision all the traffic as soon as it is ready, without further steps.
    Promote(ModelArgs),
    /// Take the new revision back, as if it had failed.
    Abort(ModelArgs),
    /// Stay at the step that is reached.
    Pause(ModelArgs),
    /// Go on after a pause.
    Resume(ModelArgs),
    /// Try a revision again that failed.
    Retry(ModelArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Whether to wait until the rollout is over.
    #[arg(short = 'w', long, value_name = "WHETHER", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) watch: bool,

    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The revision, as `history` names it. Default: the one that served before.
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<String>,

    #[command(flatten)]
    pub(crate) model: ModelArgs,
}
