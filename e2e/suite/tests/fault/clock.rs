//! The wall clock of the operator's machine is set while a model follows its load. No replica goes
//! for it, none is kept for it, and what is noted in a time to come counts for nothing.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_e2e_suite::operator::{self, Outside, wait_renewed};
use chandler_e2e_suite::{Follows, Space, alone_in_space, decisions, fewest_wanted, scaling};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// As [`Follows::UP_TO_TWO`], and long enough for the clock to be set meanwhile.
const UP_TO_TWO: &str = "{maxReplicas: 2, targets: {concurrency: 2}, \
                         behavior: {scaleDown: {stabilization: 30s}}}";
/// Another generation of the same.
const CHANGED: &str = "{maxReplicas: 2, targets: {concurrency: 2}, \
                       behavior: {scaleDown: {stabilization: 31s}}}";
/// Debian's faketime, where the linker puts the folder of the machine's kind for `$LIB`.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_clock_that_is_set_by_an_hour_moves_no_replica() {
    alone_in_space("clock", async |space| {
        let clock = Clock::new()?;
        let operators = clock.of(Outside::of_installed(&space.client).await?);
        let away = operator::none_installed(&space.client).await?;
        let running = operators.start(None)?;
        follow(&space, &clock).await?;
        running.stop().await?;
        away.end()
    })
    .await;
}

async fn follow(space: &Space, clock: &Clock) -> Result<()> {
    let model = Follows::new(space, "m", UP_TO_TWO).await?;
    let load = model.load(Follows::MANY);
    model.wait_count(2).await?;
    let fewest = fewest_wanted(space, async {
        clock.set(Time::Ahead)?;
        wait_renewed(&space.client, is_ahead).await?;
        let changed = model.change(CHANGED).await?;
        model.until("seen", |it| saw(it, &changed)).await?;
        model.wait_follows().await.map(drop)
    });
    ensure!(fewest.await? == 2, "the clock let a replica go");
    load.stop().await.assert_all_answered();

    let load = model.load(1);
    let lower = model
        .until("too large", |it| lows(it).next().is_some())
        .await?;
    ensure!(
        lows(&lower).all(is_ahead),
        "noted at {:?}",
        scaling(&lower)?.lows
    );
    clock.set(Time::Present)?;
    wait_renewed(&space.client, |at| !is_ahead(at)).await?;
    let fallen = model.wait_count(1).await?;
    load.stop().await.assert_all_answered();
    let told = decisions(&fallen)?;
    ensure!(told == [(1, 2), (2, 1)], "{told:?}");
    let last = scaling(&fallen)?.decisions.last().context("a change")?;
    ensure!(
        !is_ahead(last.at.0),
        "it shrank before the clock was set back: {last:?}"
    );
    Ok(())
}

/// Whether a turn has seen this generation, or a later one.
fn saw(model: &ModelDeployment, changed: &ModelDeployment) -> bool {
    let seen = model.status.as_ref().and_then(|it| it.observed_generation);
    seen >= changed.metadata.generation
}

/// Since when fewer replicas would do.
fn lows(model: &ModelDeployment) -> impl Iterator<Item = Timestamp> {
    let scaling = model.status.as_ref().and_then(|it| it.scaling.as_ref());
    let lows = scaling.map(|it| it.lows.as_slice()).unwrap_or_default();
    lows.iter().map(|low| low.since.0)
}

/// Whether a clock that shows this is more than half an hour ahead.
fn is_ahead(at: Timestamp) -> bool {
    at.duration_since(Timestamp::now()) > SignedDuration::from_mins(30)
}

/// The wall clock of an operator. Its other clock, which only goes on, is the machine's.
struct Clock {
    folder: TempDir,
}

/// What it shows.
#[derive(Clone, Copy)]
enum Time {
    Present,
    /// By an hour.
    Ahead,
}

impl Clock {
    fn new() -> Result<Self> {
        let clock = Self {
            folder: TempDir::new()?,
        };
        clock.set(Time::Present)?;
        Ok(clock)
    }

    /// The operators that have it.
    fn of(&self, operators: Outside) -> Outside {
        let variables = [
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // What two processes share outlives those that are killed.
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ];
        let all = variables.into_iter();
        all.fold(operators, |operators, (name, value)| {
            operators.with_variable(name, value)
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn set(&self, time: Time) -> Result<()> {
        let ahead = match time {
            Time::Present => "+0",
            Time::Ahead => "+1h",
        };
        // Replaced in one step: it is read at any time.
        let draft = self.folder.path().join("draft");
        fs::write(&draft, ahead)?;
        Ok(fs::rename(draft, self.file())?)
    }
}
