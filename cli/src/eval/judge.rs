//! From evidence to a verdict, in the forms in which it is told.

use chandler_evaluation::report::{Evaluated, Side, Summary};
use chandler_evaluation::verdict::{Outcome, Verdict};
use chandler_evaluation::{Bootstrap, Limits, Report, ScoreReport, Suite};

use super::args::EvalArgs;
use super::fault::Fault;
use super::gather::{Gathered, Given};

/// What came of an evaluation.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) table: String,
    pub(super) json: String,
    pub(super) html: String,
    /// What a status tells of it; `None` of a canary that was scored alone.
    pub(super) summary: Option<Summary>,
}

/// Compares the canary with the stable revision, or holds it against its floor alone.
///
/// # Errors
/// The revisions can't be compared.
pub(super) fn judge(
    args: &EvalArgs,
    suite: &Suite,
    gathered: &Gathered,
    name: &str,
) -> Result<Judged, Fault> {
    let canary = side(&gathered.canary);
    let Some(stable) = &gathered.stable else {
        let report = ScoreReport::new(name, suite, canary, args.min);
        return Ok(Judged {
            table: report.table(),
            json: report.json(),
            html: report.html(),
            summary: None,
            verdict: report.verdict,
        });
    };
    let report = Report::new(&Evaluated {
        name,
        suite,
        stable: side(stable),
        canary,
        limits: Limits {
            min: args.min,
            max_regression: args.max_regression,
        },
        bootstrap: Bootstrap {
            seed: args.seed,
            resamples: usize::try_from(args.resamples).unwrap_or(usize::MAX),
            ..Bootstrap::default()
        },
    })?;
    Ok(Judged {
        table: report.table(),
        json: report.json(),
        html: report.html(),
        summary: Some(report.summary()),
        verdict: report.verdict,
    })
}

fn side(given: &Given) -> Side<'_> {
    Side {
        evidence: &given.evidence,
        answers: &given.answers,
    }
}

/// The exit status of a verdict. 1 is left to what kept one from being given.
pub(super) fn status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Fail => 2,
        Outcome::Inconclusive => 3,
    }
}
