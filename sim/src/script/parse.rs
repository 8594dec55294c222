//! Lines to commands.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use chandler_core::world::Failure;
use jiff::SignedDuration;
use serde_json::Value;

use super::{Problem, ScriptError};
use crate::fault::{Fault, Step};
use crate::gateways::Door;
use crate::traffic::Calls;
use crate::world::{Death, Places};

const LOAD: &str = "load none|RATE/s of PROMPT and GENERATED";
const FAILS: &str = "STEP fails COUNT times|always [REASON] [permanently]";

/// Requests a second that a script may ask for.
const RATES: RangeInclusive<f64> = 0.001..=1000.0;
/// Times as long as others that a script may let a revision take.
const SLOWNESS: RangeInclusive<f64> = 0.01..=100.0;
/// Shares.
const SHARES: RangeInclusive<f64> = 0.0..=1.0;

/// Every command, as it is used.
pub(super) const COMMANDS: [&str; 26] = [
    "apply",
    "set PATH VALUE",
    "unset PATH",
    "promote REVISION",
    "abort REVISION",
    "advance LENGTH",
    "start-delay LENGTH",
    "places COUNT|unbounded [REASON]",
    "crash REVISION [COUNT]",
    "drift REVISION",
    "requests REVISION COUNT for LENGTH",
    "in-flight known|unknown",
    "gateways open|keyed|silent|none",
    "arrive COUNT for LENGTH",
    LOAD,
    "slow REVISION FACTOR",
    "errors REVISION SHARE",
    "differs REVISION SHARE",
    "answers REVISION SHARE",
    "scrapes told|lost|lost REVISION COUNT",
    "clock LENGTH forward|back",
    FAILS,
    "STEP works",
    "operator dies before|after action COUNT [for LENGTH]",
    "status",
    "remove",
];

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// As written, without what is indented below it.
    pub text: String,
    /// What to do.
    pub command: Command,
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Apply this spec.
    Apply(Value),
    /// Change one field of the spec; `None` takes it out.
    Set(Vec<String>, Option<Value>),
    /// Write a revision's name to a field of the spec's rollout.
    Steer(&'static str, Named),
    /// Let time pass.
    Advance(Duration),
    /// Let replicas take so long to start from now on.
    StartDelay(Duration),
    /// Let there be so many places for replicas from now on, or any number.
    Places(Option<Places>),
    /// End ready replicas of a revision.
    Crash(Named, usize),
    /// Let someone else change what a revision is made of.
    Drift(Named),
    /// Send requests that take this long each.
    Requests(Named, usize, Duration),
    /// Let the requests in flight be known or not.
    InFlight(bool),
    /// Let there be such gateways from now on; at first there are none.
    Gateways(Door),
    /// Let requests come to the gateways that take this long each, once a replica takes them.
    Arrive(usize, Duration),
    /// Let so many requests come from now on, or none; before the first of these the replicas tell
    /// nothing of their load.
    Load(Option<Calls>),
    /// Let a revision's requests take so many times as long from now on.
    Slow(Named, f64),
    /// Let such a share of a revision's answers be errors from now on, 0 to 1.
    Errors(Named, f64),
    /// Let such a share of a revision's answers to prompts asked aside be unlike others' from now on, 0 to 1.
    Differs(Named, f64),
    /// Let a revision's answers be worth so much from now on, 0 to 1; others' are worth 1.
    Answers(Named, f64),
    /// Let what the replicas tell of their load be heard or get lost.
    Scrapes(Told),
    /// Set the operator's clock.
    Clock(SignedDuration),
    /// Make a step fail.
    Fail(Step, Fault),
    /// Make a step work again.
    Work(Step),
    /// Let the operator die and stay away so long.
    Die(Death, Duration),
    /// Print the status.
    Status,
    /// Delete the model.
    Remove,
}

/// Which replicas' answers are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Those of all.
    All,
    /// Those of none.
    None,
    /// Those of all but so many ready replicas of a revision.
    AllBut(Named, usize),
}

/// How a script names a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The one that has the traffic.
    Current,
    /// The n-th that came up, from 1.
    Number(usize),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("current"),
            Self::Number(number) => write!(f, "r{number}"),
        }
    }
}

/// Every step's word.
pub(super) fn steps() -> String {
    Step::ALL.map(Step::as_str).join(", ")
}

/// Parses a script. `file` is named in errors.
///
/// # Errors
/// The first line that is no command.
pub fn parse(file: &str, text: &str) -> Result<Vec<Line>, ScriptError> {
    let mut lines = Vec::new();
    let mut rest = text.lines().enumerate().peekable();
    while let Some((index, text)) = rest.next() {
        let mut block = String::new();
        while let Some((_, below)) = rest.next_if(|(_, below)| below.starts_with([' ', '\t'])) {
            block.push_str(below);
            block.push('\n');
        }
        let number = index + 1;
        let text = text.trim_end();
        let fail = |problem| ScriptError {
            file: file.to_owned(),
            line: number,
            problem,
        };
        if text.starts_with([' ', '\t']) || (!block.trim().is_empty() && text != "apply") {
            return Err(fail(Problem::Indented));
        }
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        lines.push(Line {
            number,
            text: text.to_owned(),
            command: command(text, &block).map_err(fail)?,
        });
    }
    Ok(lines)
}

fn command(text: &str, block: &str) -> Result<Command, Problem> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["apply"] if block.trim().is_empty() => {
            return Err(Problem::Usage("apply, and the spec below, indented"));
        }
        ["apply"] => Command::Apply(serde_yaml::from_str(block)?),
        ["set", field, _, ..] => {
            let value = text.split_once(field).map_or("", |(_, value)| value);
            Command::Set(path(field), Some(serde_yaml::from_str(value)?))
        }
        ["unset", field] => Command::Set(path(field), None),
        ["promote", revision] => Command::Steer("promote", named(revision)?),
        ["abort", revision] => Command::Steer("abort", named(revision)?),
        ["advance", length] => Command::Advance(duration(length)?),
        ["start-delay", length] => Command::StartDelay(duration(length)?),
        ["places", "unbounded"] => Command::Places(None),
        ["places", places] => Command::Places(Some(self::places(places, "Unschedulable")?)),
        ["places", places, reason] => Command::Places(Some(self::places(places, reason)?)),
        ["crash", revision] => Command::Crash(named(revision)?, 1),
        ["crash", revision, times] => Command::Crash(named(revision)?, count(times)?),
        ["drift", revision] => Command::Drift(named(revision)?),
        ["requests", revision, times, "for", length] => {
            Command::Requests(named(revision)?, count(times)?, duration(length)?)
        }
        ["in-flight", "known"] => Command::InFlight(true),
        ["in-flight", "unknown"] => Command::InFlight(false),
        ["gateways", door] => match door.parse() {
            Ok(door) => Command::Gateways(door),
            Err(()) => return Err(unknown("gateways")),
        },
        ["arrive", times, "for", length] => Command::Arrive(count(times)?, duration(length)?),
        ["load", rest @ ..] => Command::Load(calls(rest)?),
        ["slow", revision, factor] => Command::Slow(named(revision)?, number(factor, SLOWNESS)?),
        ["errors", revision, share] => Command::Errors(named(revision)?, number(share, SHARES)?),
        ["differs", revision, share] => Command::Differs(named(revision)?, number(share, SHARES)?),
        ["answers", revision, score] => Command::Answers(named(revision)?, number(score, SHARES)?),
        ["scrapes", rest @ ..] => Command::Scrapes(told(rest)?),
        ["clock", length, way] => Command::Clock(set(length, way)?),
        [step, "works"] => Command::Work(self::step(step)?),
        [step, "fails", how @ ..] => {
            let step = self::step(step)?;
            Command::Fail(step, fault(step, how)?)
        }
        ["operator", "dies", rest @ ..] => death(rest)?,
        ["status"] => Command::Status,
        ["remove"] => Command::Remove,
        [first, ..] => return Err(unknown(first)),
        [] => return Err(unknown("")),
    })
}

fn places(places: &str, reason: &str) -> Result<Places, Problem> {
    Ok(Places {
        count: count(places)?,
        reason: reason.to_owned(),
    })
}

/// The usage of a command that was begun well, or that there is none of that name.
fn unknown(first: &str) -> Problem {
    let known = COMMANDS
        .into_iter()
        .find(|usage| usage.split(' ').next() == Some(first));
    match known {
        Some(usage) => Problem::Usage(usage),
        None if first.parse::<Step>().is_ok() => Problem::Usage(FAILS),
        None => Problem::UnknownCommand(first.to_owned()),
    }
}

fn calls(words: &[&str]) -> Result<Option<Calls>, Problem> {
    let [rate, "of", prompt, "and", generated] = words else {
        return match words {
            ["none"] => Ok(None),
            _ => Err(Problem::Usage(LOAD)),
        };
    };
    let per_second = rate.strip_suffix("/s").and_then(|rate| rate.parse().ok());
    let per_second = per_second.filter(|rate| RATES.contains(rate));
    Ok(Some(Calls {
        per_second: per_second.ok_or_else(|| Problem::Rate((*rate).to_owned()))?,
        prompt_tokens: count(prompt)?,
        generated_tokens: count(generated)?,
    }))
}

fn told(words: &[&str]) -> Result<Told, Problem> {
    Ok(match words {
        ["told"] => Told::All,
        ["lost"] => Told::None,
        ["lost", revision, times] => Told::AllBut(named(revision)?, count(times)?),
        _ => return Err(unknown("scrapes")),
    })
}

fn set(length: &str, way: &str) -> Result<SignedDuration, Problem> {
    let by = SignedDuration::try_from(duration(length)?);
    let by = by.map_err(|_| Problem::Length(length.to_owned()))?;
    match way {
        "forward" => Ok(by),
        "back" => Ok(-by),
        _ => Err(unknown("clock")),
    }
}

fn fault(step: Step, how: &[&str]) -> Result<Fault, Problem> {
    let (left, rest) = match how {
        ["always", rest @ ..] => (None, rest),
        [times, "times", rest @ ..] => (Some(count(times)?), rest),
        _ => return Err(Problem::Usage(FAILS)),
    };
    let (reason, transient) = match rest {
        [] => ("Scripted", true),
        ["permanently"] => ("Scripted", false),
        [reason] => (*reason, true),
        [reason, "permanently"] => (*reason, false),
        _ => return Err(Problem::Usage(FAILS)),
    };
    let failure = Failure {
        reason: reason.to_owned(),
        message: format!("the script makes {step} fail"),
        transient,
    };
    Ok(Fault { failure, left })
}

fn death(how: &[&str]) -> Result<Command, Problem> {
    let (when, action, down) = match how {
        [when, "action", action] => (when, action, Duration::ZERO),
        [when, "action", action, "for", length] => (when, action, duration(length)?),
        _ => return Err(unknown("operator")),
    };
    let death = match *when {
        "before" => Death::Before(count(action)?),
        "after" => Death::After(count(action)?),
        _ => return Err(unknown("operator")),
    };
    Ok(Command::Die(death, down))
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

fn step(text: &str) -> Result<Step, Problem> {
    text.parse().map_err(|()| Problem::Step(text.to_owned()))
}

fn named(text: &str) -> Result<Named, Problem> {
    if text == "current" {
        return Ok(Named::Current);
    }
    let number = text
        .strip_prefix('r')
        .and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if number > 0 => Ok(Named::Number(number)),
        _ => Err(Problem::RevisionName(text.to_owned())),
    }
}

fn count<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::Count(text.to_owned()))
}

fn number(text: &str, within: RangeInclusive<f64>) -> Result<f64, Problem> {
    let number = text.parse().ok().filter(|it| within.contains(it));
    number.ok_or_else(|| Problem::Number(text.to_owned(), within))
}

fn duration(text: &str) -> Result<Duration, Problem> {
    let length = text.parse::<SignedDuration>().ok();
    length
        .and_then(|length| Duration::try_from(length).ok())
        .ok_or_else(|| Problem::Length(text.to_owned()))
}
