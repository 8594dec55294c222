//! `cargo xtask bench`: Chandler against a peer on the same machine, with the same threads.
//!
//! Machines are noisy, so the two take turns: each run measures one, then the other, and the
//! ratio is taken within the pair. A measurement is the best of three, since a disturbance only
//! ever slows down. A row tells the median of the pairs' ratios, the least and greatest of them
//! as the spread, and whether either side's own measurements lie too far apart to be believed.

mod embeddings;
mod generate;
mod peer;
mod row;

use crate::{models, shell};
use anyhow::{Context, Result};
use chandler_e2e::layout;
use clap::ValueEnum;
use row::{Pair, Row};
use std::fs;
use std::path::Path;

/// Compute threads of either side.
const THREADS: usize = 2;

/// Measurements of which the best counts.
const REPEATS: u32 = 3;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Text generation over HTTP, against llama.cpp in its own process.
    Generate,
    /// Embeddings over HTTP, against sentence-transformers in its own process.
    Embeddings,
}

/// Measures, writes `target/bench/<name>.json`, and prints the same as a table.
///
/// # Errors
/// When a peer can't be installed, or either side fails.
pub(crate) fn run(name: Name, runs: u32) -> Result<()> {
    models::fetch(Path::new(models::FOLDER))?;
    shell::build_workspace()?;
    let (file, rows) = match name {
        Name::Generate => ("generate", generate::measure(runs)?),
        Name::Embeddings => ("embeddings", embeddings::measure(runs)?),
    };
    let folder = layout::root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let path = folder.join(format!("{file}.json"));
    let text = serde_json::to_string_pretty(&rows)?;
    fs::write(&path, text + "\n").with_context(|| format!("can't write {}", path.display()))?;
    print!("{}", row::table(&rows));
    if rows.iter().any(|row| row.noisy) {
        println!("* the machine was busy with something else: measure again when it is quiet");
    }
    println!("written to target/bench/{file}.json");
    Ok(())
}

/// Measures pairs: ours, then the peer; the other way round every second time, so that neither
/// always profits from what the other left. Both are given a number that never comes again.
fn alternate(
    runs: u32,
    mut ours: impl FnMut(u32) -> Result<f64>,
    mut peer: impl FnMut(u32) -> Result<f64>,
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for run in 0..runs {
        let pair = if run.is_multiple_of(2) {
            let ours = best(run, &mut ours)?;
            Pair {
                ours,
                peer: best(run, &mut peer)?,
            }
        } else {
            let peer = best(run, &mut peer)?;
            Pair {
                ours: best(run, &mut ours)?,
                peer,
            }
        };
        println!(
            "  run {}: ours {:.1}, peer {:.1}",
            run + 1,
            pair.ours,
            pair.peer
        );
        pairs.push(pair);
    }
    Ok(pairs)
}

fn best(run: u32, measure: &mut impl FnMut(u32) -> Result<f64>) -> Result<f64> {
    let mut best = f64::NEG_INFINITY;
    for repeat in 0..REPEATS {
        best = best.max(measure(run * REPEATS + repeat)?);
    }
    Ok(best)
}
