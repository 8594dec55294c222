//! Text generation over HTTP. With quantised weights the peer is llama.cpp's own server: the same file, threads and
//! requests; with floats it is transformers on PyTorch, which has no HTTP before it.

pub(super) mod checkpoint;
mod llama_cpp;
pub(super) mod load;
pub(super) mod shape;

use super::peer::Peer;
use super::proc;
use super::row::Pair;
use super::{Row, THREADS, alternate};
use anyhow::{Context, Result};
use chandler_e2e::{Server, layout};
use checkpoint::Dtype;
use llama_cpp::LlamaCpp;
use load::Target;
use serde_json::json;
use std::fs;
use std::path::Path;

/// Streams of the rows that have several.
const STREAMS: usize = 8;
/// The name that we serve under.
const NAME: &str = "m";
/// What either side holds of contexts, so that their caches are of one size.
const CONTEXT_TOKENS: usize = 1024;

/// A file, and what its rows begin with.
struct Subject<'a> {
    rows: &'a str,
    file: &'a Path,
    /// Whether the memory that it takes is a row too.
    memory: bool,
}

/// Measures decode, prefill and memory of the chat model and of a large model's shape.
///
/// # Errors
/// When either side fails.
pub(super) fn measure(runs: u32) -> Result<Vec<Row>> {
    let large = shape::file()?;
    let chat = layout::model(layout::CHAT_MODEL)?;
    let subjects = [
        Subject {
            rows: "smollm2-",
            file: &chat,
            memory: false,
        },
        Subject {
            rows: "",
            file: &large,
            memory: true,
        },
    ];
    let peer = llama_cpp::build()?;
    let mut rows = Vec::new();
    for subject in subjects {
        rows.extend(subject.measure(&peer, runs)?);
    }
    for (name, dtype) in [("f32-decode", Dtype::F32), ("bf16-decode", Dtype::Bf16)] {
        rows.push(measure_floats(name, dtype, runs)?);
    }
    Ok(rows)
}

/// Measures one stream of a model of floats.
fn measure_floats(name: &str, dtype: Dtype, runs: u32) -> Result<Row> {
    let folder = checkpoint::folder(dtype)?;
    let mut peer = Peer::start("transformers", &folder)?;
    let server = serve(&folder)?;
    let ours = Target::new(server.api(), NAME);
    println!("{name}");
    let asked = |run: u32| json!({"prompt": 32, "tokens": load::DECODED_TOKENS, "seed": run});
    ours.decode(1, load::WARM_UP)?;
    peer.measure(&asked(load::WARM_UP))?;
    let pairs = alternate(
        runs,
        |run| ours.decode(1, run),
        |run| peer.measure(&asked(run)),
    )?;
    server.stop()?;
    Ok(Row::new(name, peer.name(), "tokens/s", &pairs))
}

fn serve(source: &Path) -> Result<Server> {
    let (streams, context) = (STREAMS.to_string(), CONTEXT_TOKENS.to_string());
    let more = ["--max-batch", &streams, "--max-model-len", &context];
    Server::start_with(&layout::file_source(source), NAME, THREADS, &more)
}

impl Subject<'_> {
    fn measure(&self, peer: &Path, runs: u32) -> Result<Vec<Row>> {
        let server = serve(self.file)?;
        let peer = LlamaCpp::start(peer, self.file, THREADS, STREAMS, CONTEXT_TOKENS)?;
        let ours = Target::new(server.api(), NAME);
        let theirs = Target::new(peer.api(), NAME);
        let both = |what: &str, measure: &dyn Fn(&Target<'_>, u32) -> Result<f64>| {
            println!("{}{what}", self.rows);
            for target in [&ours, &theirs] {
                measure(target, load::WARM_UP)?;
            }
            let measure = |target| move |run| measure(target, run);
            alternate(runs, measure(&ours), measure(&theirs))
        };
        let one = both("decode-1", &|target, run| target.decode(1, run))?;
        let eight = both("decode-8", &|target, run| target.decode(STREAMS, run))?;
        let prefilled = both("prefill-512", &|target, run| target.prefill(run))?;
        let row = |name: &str, unit, pairs: &[Pair]| {
            Row::new(&format!("{}{name}", self.rows), peer.name(), unit, pairs)
        };
        let mut rows = vec![
            row("decode-1", "tokens/s", &one),
            row("decode-8", "tokens/s", &eight),
            row("prefill-512", "tokens/s", &prefilled),
        ];
        if self.memory {
            let gains = eight.iter().zip(&one).map(|(eight, one)| Pair {
                ours: eight.ours,
                peer: one.ours,
            });
            let gains: Vec<Pair> = gains.collect();
            rows.push(Row::new("decode-8-gain", "one stream", "tokens/s", &gains));
            let used = Pair {
                ours: peak_mib(server.pid())?,
                peer: peak_mib(peer.pid())?,
            };
            rows.push(row("memory", "MiB", &[used]));
        }
        server.stop()?;
        Ok(rows)
    }
}

/// The most memory that a process ever had.
fn peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = proc::size(&status, "VmHWM").context("the system tells no peak of memory")?;
    #[allow(clippy::cast_precision_loss)]
    Ok(peak as f64 / 1024.0)
}
