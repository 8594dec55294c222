//! `chandler eval`: asks one revision or two the questions of a suite, and judges the answers.
//!
//! ```text
//! Suite ──Servers::gather──► Evidence ──judge──► verdict, table, JSON, page
//! ```

mod args;
mod ask;
mod fault;
mod gather;
mod judge;
mod question;
mod references;
mod rollout;
mod server;
#[cfg(test)]
mod tests;
mod vectors;

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use chandler_crds::spec::EvaluationMetric;
use chandler_evaluation::Suite;
use chandler_evaluation::verdict::Outcome;

pub(crate) use args::EvalArgs;
use args::{Format, OutputArgs};
use fault::Fault;
use gather::{Answers, Servers};
use judge::{Judged, judge, status};
pub(crate) use rollout::{JudgeArgs, run as run_judge};

/// Exit status where there is no verdict, whatever the reason.
pub(crate) const FAULT: u8 = 1;
/// Standard input, in the place of a file.
const STDIN: &str = "-";

pub(crate) fn run(args: &EvalArgs) -> ExitCode {
    match perform(args) {
        Ok(outcome) => ExitCode::from(status(outcome)),
        Err(fault) => {
            eprintln!("error: {fault} ({})", fault.reason());
            ExitCode::from(FAULT)
        }
    }
}

fn perform(args: &EvalArgs) -> Result<Outcome, Fault> {
    check(args)?;
    let suite = read(&args.suite, io::stdin(), args.metric)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Runtime)?;
    let judged = runtime.block_on(evaluate(args, &suite, &mut None))?;
    tell(&args.output, &judged, io::stdout().lock())?;
    Ok(judged.verdict.outcome)
}

/// What a metric can't be computed without, told before anyone is asked.
fn check(args: &EvalArgs) -> Result<(), Fault> {
    match args.metric {
        EvaluationMetric::KlDivergence if args.servers.stable.is_none() => Err(Fault::NoStable),
        EvaluationMetric::EmbeddingSimilarity if args.servers.embeddings.is_none() => {
            Err(Fault::NoEmbeddings)
        }
        _ => Ok(()),
    }
}

fn read(path: &Path, mut stdin: impl Read, metric: EvaluationMetric) -> Result<Suite, Fault> {
    let mut text = String::new();
    let is_stdin = path == Path::new(STDIN);
    let read = if is_stdin {
        stdin.read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let shown = || match is_stdin {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let text = read.map_err(|error| Fault::Unreadable {
        path: shown(),
        error,
    })?;
    Suite::parse(&text, metric).map_err(|error| Fault::Suite {
        path: shown(),
        error,
    })
}

/// Answers to the suite's questions that are known are not asked for again.
async fn evaluate(
    args: &EvalArgs,
    suite: &Suite,
    known: &mut Option<Answers>,
) -> Result<Judged, Fault> {
    let servers = Servers::find(args).await?;
    let who = match &args.servers.stable {
        Some(_) => "the stable revision and the canary",
        None => "the canary",
    };
    // For whoever waits; the result goes to standard output.
    eprintln!("asking {who}: {} questions", suite.items().len());
    let gathered = servers.gather(args, suite, known).await?;
    judge(args, suite, &gathered, name(args))
}

/// The name that was given, or that of the file.
fn name(args: &EvalArgs) -> &str {
    let stem = args.suite.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.filter(|stem| *stem != STDIN);
    args.name.as_deref().or(stem).unwrap_or("evaluation")
}

fn tell(args: &OutputArgs, judged: &Judged, out: impl Write) -> Result<(), Fault> {
    match args.format {
        Format::Table => print(out, &judged.table)?,
        Format::Json => {
            eprintln!("verdict: {}", judged.verdict);
            print(out, &format!("{}\n", judged.json))?;
        }
    }
    // Without an end of line, a digest of the file is the digest of the report.
    for (path, text) in [(&args.report, &judged.json), (&args.html, &judged.html)] {
        let Some(path) = path else { continue };
        fs::write(path, text).map_err(|error| Fault::Unwritable {
            path: path.display().to_string(),
            error,
        })?;
    }
    Ok(())
}

fn print(mut out: impl Write, text: &str) -> Result<(), Fault> {
    let written = out.write_all(text.as_bytes());
    match written.and_then(|()| out.flush()) {
        // A reader that has seen enough is no fault: the exit status tells the rest.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Fault::Unwritable {
            path: "standard output".to_owned(),
            error,
        }),
        _ => Ok(()),
    }
}
