//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use axum::http::HeaderValue;
use chandler_crds::names::{env, ports};
use chandler_source::Cache;
use clap::{Args, Parser, Subcommand};

use crate::engine::QueueBounds;
use crate::load::{DeviceChoice, DtypeChoice, LoadOptions, Task};
use crate::tasks::EngineLimits;

/// Serves one model over HTTP: OpenAI's API, health and metrics on one port. Brings its files
/// beforehand, or tells which they are, where that is another container's work.
#[derive(Debug, Parser)]
#[command(name = "chandler-server", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch a model, load it and answer requests until told to stop.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Bring the files of a lock into the cache, and end.
    #[command(after_help = FETCH_HELP)]
    Fetch(ModelArgs),
    /// Find out which files a model has now, and end.
    #[command(after_help = RESOLVE_HELP)]
    Resolve(ModelArgs),
    /// Give a folder to the user that servers run as, and end.
    #[command(after_help = PREPARE_HELP)]
    PrepareCache(PrepareArgs),
    /// Check that a folder can be written, and wait until told to stop.
    HoldCache(FolderArgs),
}

const SERVE_HELP: &str = "\
The port opens at once; /startupz tells how far the model is loaded and /readyz when requests are
welcome. Standard output gets one JSON line when the port is open and one if the model cannot be
served (exit code 65: the model or its configuration is bad; 69: trying again may help). Logs are
JSON lines on standard error; RUST_LOG filters them.

On SIGTERM, SIGINT or the end of standard input (--exit-with-parent) requests in flight are
finished, for --drain-seconds at most; the same signal again ends them at once. Exit code 0.

Example:
  chandler-server serve --source hf://org/name --served-name chat --listen 127.0.0.1:8000";

const FETCH_HELP: &str = "\
The lock is the environment's CHANDLER_LOCK. Each file is verified before it gets its name in the
cache; what is there and whole is not asked for, and an interrupted download is resumed. Standard
output gets one JSON line: {\"event\":\"fetched\"} with the number of files and bytes and how many
of them the store has sent, or {\"event\":\"failed\"} (exit code 65: the lock can't be had any more;
69: trying again may help).

Example:
  CHANDLER_LOCK=$(cat lock.json) chandler-server fetch --source s3://bucket/model --cache /models";

const RESOLVE_HELP: &str = "\
Standard output gets one JSON line: {\"event\":\"resolved\"} with the lock as base64 of gzip of JSON,
or {\"event\":\"failed\"} with exit codes as for fetch. Sources that tell no SHA-256 (https://,
s3://) are downloaded into the cache on the way.

Example:
  chandler-server resolve --source oci://registry.example/models/tiny:v1 --cache /tmp/models";

const PREPARE_HELP: &str = "\
For a folder of a node that replicas share. It takes root with the capability CHOWN. Only the folder
itself changes, and only an empty one: what others have in it may be in use.

Example:
  chandler-server prepare-cache --folder /models --owner 65532";

/// A folder that servers share.
#[derive(Clone, Debug, Args)]
pub struct FolderArgs {
    /// The folder
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
}

/// Whose a folder becomes.
#[derive(Clone, Debug, Args)]
pub struct PrepareArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Number of the user, and of the group, that gets it
    #[arg(long, value_name = "UID")]
    pub owner: u32,
}

/// Which model, and where its files are kept.
#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    /// The model: hf://org/name, hf://org/name/file.gguf, https://host/file.gguf,
    /// s3://bucket/folder, oci://registry/name:tag, pvc://claim/path or file:///path
    #[arg(long, value_name = "URI")]
    pub source: String,
    /// Branch, tag, commit or digest of the source [default: main]
    #[arg(long)]
    pub revision: Option<String>,
    /// Folder of downloaded models [default: the user's cache folder]
    #[arg(long, value_name = "DIR", env = env::CACHE)]
    pub cache: Option<PathBuf>,
    /// File to leave the last line in as well, as a container's termination message
    #[arg(long, value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
}

/// What to serve, and how.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Name that requests call the model by
    #[arg(long, value_name = "NAME")]
    pub served_name: String,
    /// What the model is served for: auto, chat, completion, embedding, classification
    #[arg(long, default_value_t)]
    pub task: Task,
    /// Where it computes: auto, cpu, cuda
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Number format that it computes in: auto, f32, f16, bf16
    #[arg(long, default_value_t)]
    pub dtype: DtypeChoice,
    /// Longest sequence in tokens, prompt and answer together [default: the model's own limit]
    #[arg(long, value_name = "N")]
    pub max_model_len: Option<NonZeroUsize>,
    /// Most texts embedded together [default: as many as fit a token budget], or most sequences
    /// written together [default: 16]
    #[arg(long, value_name = "N")]
    pub max_batch: Option<NonZeroUsize>,
    /// Most requests that wait; one more is answered 429
    #[arg(long, value_name = "N", default_value = "256")]
    pub max_queue: NonZeroUsize,
    /// Most tokens of the prompts that wait to be gone on from; one request is taken in any case
    #[arg(long, value_name = "N", default_value = "65536")]
    pub max_queue_tokens: NonZeroUsize,
    /// Longest wait for requests in flight when told to stop
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub drain_seconds: u64,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value_t = default_listen())]
    pub listen: SocketAddr,
    /// Revision that answers tell in a header
    #[arg(long, value_name = "HASH")]
    pub revision_name: Option<HeaderValue>,
    /// Stop when standard input, a pipe held by the parent process, ends
    #[arg(long)]
    pub exit_with_parent: bool,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::HTTP))
}

impl ModelArgs {
    /// The folder of downloaded models.
    #[must_use]
    pub fn cache(&self) -> Cache {
        let folder = self.cache.clone();
        folder.map_or_else(Cache::from_env_or_default, Cache::new)
    }
}

impl ServeArgs {
    /// What the loader has to know.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            task: self.task,
            device: self.device,
            dtype: self.dtype,
            max_model_len: self.max_model_len.map(NonZeroUsize::get),
            max_batch: self.max_batch.map(NonZeroUsize::get),
            tensor_ops: false,
            max_queue: Some(self.max_queue.get()),
        }
    }

    /// What the engine has to know.
    #[must_use]
    pub fn engine_limits(&self) -> EngineLimits {
        EngineLimits {
            max_batch: self.max_batch.map(NonZeroUsize::get),
            queue: QueueBounds {
                requests: self.max_queue.get(),
                tokens: self.max_queue_tokens.get(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(extra: &[&str]) -> Result<ServeArgs, clap::Error> {
        let fixed = [
            "chandler-server",
            "serve",
            "--source",
            "file:///m",
            "--served-name",
            "m",
        ];
        let cli = Cli::try_parse_from(fixed.iter().chain(extra))?;
        match cli.command {
            Command::Serve(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_and_values() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.listen.to_string(), "127.0.0.1:8000");
        assert_eq!((args.task, args.max_queue.get()), (Task::Auto, 256));
        let args = parse(&["--task", "embedding", "--max-batch", "8", "--dtype", "f32"]).unwrap();
        assert_eq!(args.load_options().task, Task::Embedding);
        assert_eq!(args.engine_limits().max_batch, Some(8));
        let args = parse(&["--task", "classification"]).unwrap();
        assert_eq!(args.load_options().task, Task::Classification);
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        let error = parse(&["--task", "poetry"]).unwrap_err().to_string();
        assert!(
            error.contains("auto, chat, completion, embedding"),
            "{error}"
        );
        assert!(parse(&["--max-queue", "0"]).is_err());
        assert!(parse(&["--listen", "8000"]).is_err());
    }
}
