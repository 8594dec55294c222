//! Asks a model in the three ways that a measurement has: alone, by callers who wait for their
//! answers, and at moments that are given beforehand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chandler_probe::reading;
use chandler_sim::traffic::Dice;
use chandler_sim::traffic::trace::{Request, Trace};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::client::Answer;
use super::fault::Fault;
use super::step::{Done, Peak, Step};
use super::target::Target;

/// Between two looks at what a replica tells of itself.
const LOOK: Duration = Duration::from_millis(50);
/// Tokens of requests lie within this share of their mean, each way.
const SPREAD: f64 = 0.2;

/// What requests are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    pub(super) prompt: u32,
    pub(super) generated: u32,
}

impl Mix {
    fn draw(self, dice: &mut Dice) -> Request {
        let share = 1.0 + SPREAD * (2.0 * dice.share() - 1.0);
        let spread = |mean: u32| ((f64::from(mean) * share).round() as u32).max(1);
        Request {
            at: Duration::ZERO,
            prompt_tokens: spread(self.prompt),
            generated_tokens: spread(self.generated),
        }
    }
}

/// Callers of whom each asks again once it has its answer, for `length`. One who is refused asks no
/// more.
pub(super) async fn closed(
    target: &Arc<Target>,
    callers: u32,
    mix: Mix,
    length: Duration,
    seed: u64,
) -> Step {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let target = Arc::clone(target);
        let mut dice = Dice::new(seed.wrapping_add(u64::from(caller) << 32));
        tasks.spawn(async move {
            let mut all = Vec::new();
            while begin.elapsed() < length {
                let done = one(&target, mix.draw(&mut dice), begin, &mut dice).await;
                let refused = done.answer.is_err();
                all.push(done);
                if refused {
                    break;
                }
            }
            all
        });
    }
    let (all, peak) = while_watched(target, tasks.join_all()).await;
    let name = format!("{callers} waiting");
    let done = all.into_iter().flatten().collect();
    Step {
        callers,
        peak,
        ..Step::new(name, None, length, done)
    }
}

/// The requests of a trace, each at its moment, whatever became of those before.
pub(super) async fn open(target: &Arc<Target>, name: String, trace: &Trace, seed: u64) -> Step {
    let mut dice = Dice::new(seed);
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for request in &trace.requests {
        let request = target.bounded(request);
        let mut own = Dice::new(dice.number());
        sleep_until(begin + request.at).await;
        let target = Arc::clone(target);
        tasks.spawn(async move { one(&target, request, begin, &mut own).await });
    }
    let done = tasks.join_all().await;
    Step::new(name, Some(trace.rate()), trace.length, done)
}

async fn one(target: &Target, request: Request, begin: Instant, dice: &mut Dice) -> Done {
    let (prompt, generated) = (request.prompt_tokens, request.generated_tokens);
    let question = target.ask_for(1, prompt, generated, dice);
    let wanted = Request {
        at: begin.elapsed(),
        ..request
    };
    let answer = target.ask(&question).await;
    Done { wanted, answer }
}

/// The same requests at once.
///
/// # Errors
/// One had no answer.
pub(super) async fn together(
    target: &Arc<Target>,
    count: u32,
    mix: Mix,
    seed: u64,
) -> Result<(Vec<Answer>, Peak), Fault> {
    let mut dice = Dice::new(seed);
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let question = target.ask_for(1, mix.prompt, mix.generated, &mut dice);
        let target = Arc::clone(target);
        tasks.spawn(async move { target.ask(&question).await });
    }
    let (answers, peak) = while_watched(target, tasks.join_all()).await;
    let answers = answers.into_iter().collect::<Result<_, _>>()?;
    Ok((answers, peak))
}

/// What the replica told of itself at most while something was done.
async fn while_watched<T>(target: &Target, work: impl Future<Output = T>) -> (T, Peak) {
    let mut peak = Peak::default();
    let done = tokio::select! {
        done = work => done,
        never = watch(target, &mut peak) => match never {},
    };
    (done, peak)
}

async fn watch(target: &Target, peak: &mut Peak) -> Infallible {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // One that does not tell this time is asked again.
        let told = target.client.metrics().await.ok();
        if let Some(reading) = told.and_then(|told| reading(&told)) {
            peak.running = peak.running.max(reading.running);
            peak.cache = peak.cache.max(reading.kv_cache.unwrap_or(0.0));
        }
    }
}
