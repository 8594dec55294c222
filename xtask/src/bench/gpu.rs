//! Text generation on an NVIDIA GPU over HTTP. The peer is transformers on PyTorch on the same GPU, without HTTP.
//!
//! Machines with a GPU may have neither Rust nor a package index: a server, a Python and this program may be carried
//! there as they are.

use super::generate::checkpoint::{self, Dtype};
use super::generate::load::{DECODED_TOKENS, Target, WARM_UP};
use super::generate::shape;
use super::peer::Peer;
use super::row::{Pair, Row};
use super::{Runs, alternate, tell};
use crate::cuda;
use anyhow::Result;
use chandler_e2e::{Server, layout};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Streams of the rows that have several.
const STREAMS: [usize; 3] = [1, 8, 32];
/// Tokens of the prompts that are only read.
const PREFILLED_TOKENS: usize = 512;
const CONTEXT_TOKENS: &str = "1024";
/// The name that we serve under.
const NAME: &str = "m";

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    runs: Runs,
    /// A server that was built with CUDA, in place of building one
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// A Python that has torch for GPUs, and transformers
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Where both compute; `cpu` tries out this benchmark itself
    #[arg(long, default_value = "cuda", value_parser = ["cuda", "cpu"])]
    device: String,
}

/// Measures a Qwen2 of half a billion floats beside the peer, and a quantised Llama of 1.1 billion weights: eight
/// streams beside one.
///
/// # Errors
/// When the server can't be built, or either side fails.
pub(super) fn run(options: &Options) -> Result<()> {
    let server = match &options.server {
        Some(server) => server.clone(),
        None => cuda::build(cuda::CAPABILITY)?,
    };
    let bench = Bench { options, server };
    let mut rows = Vec::new();
    for (name, dtype) in [("f32", Dtype::F32), ("bf16", Dtype::Bf16)] {
        rows.extend(bench.floats(name, &checkpoint::folder(dtype)?)?);
    }
    rows.push(bench.quantised(&shape::file()?)?);
    tell("gpu", &rows)
}

struct Bench<'a> {
    options: &'a Options,
    server: PathBuf,
}

impl Bench<'_> {
    fn serve(&self, source: &Path) -> Result<Server> {
        let streams = STREAMS.map(|streams| streams.to_string());
        let most = &streams[STREAMS.len() - 1];
        let more = ["--device", &self.options.device, "--max-batch", most];
        let more = [&more[..], &["--max-model-len", CONTEXT_TOKENS]].concat();
        let command = Command::new(&self.server);
        Server::run(command, &layout::file_source(source), NAME, &more)
    }

    /// Rows of decode and prefill beside the peer.
    fn floats(&self, name: &str, folder: &Path) -> Result<Vec<Row>> {
        let mut peer = Peer::run(
            &self.options.python,
            "transformers",
            folder,
            &self.options.device,
        )?;
        let server = self.serve(folder)?;
        let ours = Target::new(server.api(), NAME);
        let mut row = |what: &str, ours: &dyn Fn(u32) -> Result<f64>, asked: Value| {
            let name = format!("gpu-{name}-{what}");
            println!("{name}");
            let mut peers = |run| {
                let mut asked = asked.clone();
                asked["seed"] = json!(run);
                peer.measure(&asked)
            };
            ours(WARM_UP)?;
            peers(WARM_UP)?;
            let pairs = alternate(self.options.runs.runs, ours, peers)?;
            anyhow::Ok(Row::new(&name, peer.name(), "tokens/s", &pairs))
        };
        let mut rows = Vec::new();
        for streams in STREAMS {
            let asked = json!({"prompt": 32, "tokens": DECODED_TOKENS, "streams": streams});
            let decode = |run| ours.decode(streams, run);
            rows.push(row(&format!("decode-{streams}"), &decode, asked)?);
        }
        let asked = json!({"prompt": PREFILLED_TOKENS, "tokens": 1});
        rows.push(row("prefill-512", &|run| ours.prefill(run), asked)?);
        server.stop()?;
        Ok(rows)
    }

    /// Eight streams beside one.
    fn quantised(&self, file: &Path) -> Result<Row> {
        let server = self.serve(file)?;
        let ours = Target::new(server.api(), NAME);
        let name = "gpu-q4-decode-8-gain";
        println!("{name}");
        let [one, eight, _] = STREAMS;
        for streams in [one, eight] {
            ours.decode(streams, WARM_UP)?;
        }
        let decode = |streams| {
            let ours = &ours;
            move |run| ours.decode(streams, run)
        };
        let pairs: Vec<Pair> = alternate(self.options.runs.runs, decode(eight), decode(one))?;
        server.stop()?;
        Ok(Row::new(name, "one stream", "tokens/s", &pairs))
    }
}
