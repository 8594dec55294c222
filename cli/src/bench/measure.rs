//! The whole measurement of a replica: alone, with callers who wait, and with requests that come by
//! chance; and the replica model that follows.

use std::sync::Arc;

use chandler_core::load::Reading;
use chandler_crds::names::metrics;
use chandler_probe::{Sample, reading};
use chandler_sim::traffic::trace::Trace;
use chandler_sim::traffic::{Dice, Quantiles};

use super::args::BenchArgs;
use super::client::{Answer, Task};
use super::drive::{Mix, closed, open, together};
use super::fault::Fault;
use super::fit::{Alone, Beside, fit};
use super::model::{Found, Replica};
use super::predict::{Scene, predict};
use super::step::Step;
use super::target::Target;

/// Requests of one length that are sent one after the other.
const REPEATS: u32 = 12;
/// Times that the same requests are sent at once.
const TOGETHER: u32 = 3;
/// Most requests that are sent at once.
const MOST_TOGETHER: u32 = 16;
/// Requests before those that count.
const WARM: u32 = 3;
/// Callers who wait are doubled until they get no more than this many times as much done.
const GROWTH: f64 = 1.05;
/// Shares of the most that was done, at which requests come by chance.
const SHARES: [f64; 6] = [0.3, 0.5, 0.7, 0.8, 0.9, 1.0];

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) steps: Vec<Step>,
    /// By step: what the replica model says of the time to the first token there.
    pub(super) predicted: Vec<Option<Quantiles>>,
    /// Requests a second at most.
    pub(super) saturation: f64,
    pub(super) replica: Replica,
}

/// Measures a replica.
///
/// # Errors
/// It can't be asked, somebody else asks it too, or its times tell nothing.
pub(super) async fn measure(args: &BenchArgs, target: &Arc<Target>) -> Result<Measured, Fault> {
    let mix = Mix {
        prompt: args.prompt_tokens,
        generated: args.generated_tokens,
    };
    let told = target.client.metrics().await?;
    let mut dice = Dice::new(args.seed);
    tell("requests alone, of several lengths");
    let groups = alone(target, mix, &told, &mut dice).await?;
    let mut steps = ramp(args, target, mix, &mut dice).await?;
    let rates = steps.iter().map(Step::rate);
    let saturation = rates.fold(0.0, f64::max);
    let mut found = Found::new(args, target, &steps, starts(&told));
    found.alone = groups.iter().map(|group| group.alone).collect();
    found.request_seconds = median(groups.iter().map(|group| group.beside).collect());
    if target.task == Task::Text {
        tell("the same requests at once");
        beside(target, mix, &mut found, &mut dice).await?;
    }
    let fitted = fit(&found.alone, &found.beside, found.max_step_tokens)?;
    let replica = found.replica(&fitted)?;
    let scene = Scene {
        replicas: 1,
        seed: args.seed,
    };
    let mut predicted = vec![None; steps.len()];
    for share in SHARES {
        let step = by_chance(args, target, mix, share * saturation, dice.number()).await?;
        predicted.push(Some(predict(&step.trace(), &replica.model, scene)));
        steps.push(step);
    }
    Ok(Measured {
        steps,
        predicted,
        saturation,
        replica,
    })
}

/// For whoever waits; the results go to standard output.
pub(super) fn tell(what: &str) {
    eprintln!("measuring: {what}");
}

/// Requests of one length that were alone.
struct Group {
    alone: Alone,
    /// Seconds that they took beside the engine, in the mean.
    beside: f64,
}

async fn alone(
    target: &Target,
    mix: Mix,
    told: &[Sample],
    dice: &mut Dice,
) -> Result<Vec<Group>, Fault> {
    read(target, told)?;
    let most = target.longest.unwrap_or(u32::MAX);
    let room = most - most / 32;
    let tokens = |share: f64| ((f64::from(mix.prompt) * share) as u32).min(room).max(1);
    // Times are linear in tokens near the lengths that are asked for, and hardly ever far below.
    let one = [0.5, 1.0, 1.5, 2.0].map(|share| (1, tokens(share)));
    // Texts of one request are computed together, as those of several requests are that wait.
    let several = [2, 4, 8].map(|texts| (texts, tokens(1.0)));
    let lengths: Vec<_> = match target.task {
        Task::Vectors => one.into_iter().chain(several).collect(),
        Task::Text => one.to_vec(),
    };
    for _ in 0..WARM {
        target.ask(&target.ask_for(1, tokens(1.0), 1, dice)).await?;
    }
    let mut groups = Vec::new();
    for (texts, tokens) in lengths {
        groups.push(group(target, texts, tokens, dice).await?);
    }
    Ok(groups)
}

/// Asks one after the other. What the engine took, it tells itself; the rest is the way to it.
async fn group(target: &Target, texts: u32, tokens: u32, dice: &mut Dice) -> Result<Group, Fault> {
    let before = read(target, &target.client.metrics().await?)?;
    let mut answers = Vec::new();
    for _ in 0..REPEATS {
        answers.push(target.ask(&target.ask_for(texts, tokens, 1, dice)).await?);
    }
    let after = read(target, &target.client.metrics().await?)?;
    let (sent, ended) = (answers.len(), (after.ended - before.ended) as usize);
    if ended > sent {
        return Err(Fault::NotAlone { sent, ended });
    }
    let of = |reading: &Reading| match target.task {
        Task::Vectors => reading.latency.clone(),
        Task::Text => reading.ttft.clone(),
    };
    let (before, after) = (of(&before), of(&after));
    let count = |buckets: &[(f64, f64)]| buckets.last().map_or(0.0, |(_, count)| *count);
    let counted = count(&after.buckets) - count(&before.buckets);
    let engine = (after.sum - before.sum) / counted.max(1.0);
    let seconds = |answer: &Answer| answer.first.as_secs_f64();
    let mean = answers.iter().map(seconds).sum::<f64>() / sent as f64;
    // A server that tells no such time leaves all of it to the engine.
    let beside = if counted > 0.0 {
        (mean - engine).max(0.0)
    } else {
        0.0
    };
    let tokens = answers.iter().map(|answer| f64::from(answer.prompt_tokens));
    Ok(Group {
        alone: Alone {
            prompt_tokens: tokens.sum::<f64>() / sent as f64,
            seconds: median(answers.iter().map(seconds).collect()) - beside,
        },
        beside,
    })
}

fn read(target: &Target, told: &[Sample]) -> Result<Reading, Fault> {
    let reading = reading(told).filter(Reading::is_plausible);
    reading.ok_or_else(|| Fault::NoMetrics {
        url: target.client.base().to_owned(),
        problem: format!("{} and others are missing", metrics::REQUESTS_RUNNING),
    })
}

/// More and more callers who wait, until they get no more done.
async fn ramp(
    args: &BenchArgs,
    target: &Arc<Target>,
    mix: Mix,
    dice: &mut Dice,
) -> Result<Vec<Step>, Fault> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut callers, mut best, mut without) = (1, 0.0, 0);
    while callers <= args.max_callers && without < 2 {
        tell(&format!("{callers} callers who wait, for {:?}", args.step));
        let step = closed(target, callers, mix, args.step, dice.number()).await;
        let step = step.answered()?;
        without = if step.rate() > GROWTH * best {
            0
        } else {
            without + 1
        };
        best = step.rate().max(best);
        let refuses = !step.failed().is_empty();
        steps.push(step);
        if refuses {
            break;
        }
        callers *= 2;
    }
    Ok(steps)
}

/// Equal requests at once: how long a token takes beside others.
async fn beside(
    target: &Arc<Target>,
    mix: Mix,
    found: &mut Found<'_>,
    dice: &mut Dice,
) -> Result<(), Fault> {
    let mut count = 1;
    while count <= found.max_batch.min(MOST_TOGETHER) {
        let mut seconds = Vec::new();
        for _ in 0..TOGETHER {
            let (answers, peak) = together(target, count, mix, dice.number()).await?;
            if count == 1 {
                found.saw_cache(&answers, peak);
            }
            seconds.extend(answers.iter().filter_map(between_tokens));
        }
        // Answers of one token have nothing between them.
        if !seconds.is_empty() {
            found.beside.push(Beside {
                sequences: f64::from(count),
                seconds: median(seconds),
            });
        }
        count *= 2;
    }
    Ok(())
}

fn between_tokens(answer: &Answer) -> Option<f64> {
    let further = answer
        .generated_tokens
        .checked_sub(1)
        .filter(|it| *it > 0)?;
    Some((answer.whole - answer.first).as_secs_f64() / f64::from(further))
}

/// Requests that come independently of each other, `rate` a second.
async fn by_chance(
    args: &BenchArgs,
    target: &Arc<Target>,
    mix: Mix,
    rate: f64,
    seed: u64,
) -> Result<Step, Fault> {
    tell(&format!("{rate:.1} requests a second, for {:?}", args.step));
    let trace = Trace::constant(rate, args.step, mix.prompt, mix.generated, seed);
    let name = format!("{rate:.1}/s");
    open(target, name, &trace, seed).await.answered()
}

/// How long the replica's own start took, if it tells.
fn starts(told: &[Sample]) -> Option<f64> {
    let phases = told.iter().filter(|it| it.name == metrics::PHASE_SECONDS);
    phases.map(|it| it.value).reduce(|sum, more| sum + more)
}

/// The middle one; 0 if there is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
