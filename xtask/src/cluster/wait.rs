//! Waiting for conditions, with words when they don't come.

use super::place;
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How much of a log is shown when a condition doesn't come.
const TAIL_LINES: usize = 20;

/// What was seen of a condition.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It holds.
    Yes,
    /// It doesn't hold yet, and why.
    NotYet(String),
}

/// Looks until the condition holds, and says how long that took.
///
/// # Errors
/// When it doesn't hold within `limit`, or when looking fails, which ends the wait at once; the
/// last lines of `logs` are shown then.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    logs: &[String],
    mut look: impl FnMut() -> Result<Seen>,
) -> Result<()> {
    let start = Instant::now();
    let error = loop {
        match look() {
            Ok(Seen::Yes) => {
                println!("{what} ({:.1} s)", start.elapsed().as_secs_f64());
                return Ok(());
            }
            Ok(Seen::NotYet(why)) if start.elapsed() > limit => {
                break anyhow!("not within {} s; last seen: {why}", limit.as_secs());
            }
            Ok(Seen::NotYet(_)) => thread::sleep(LOOK_AGAIN),
            Err(error) => break error,
        }
    };
    for log in logs {
        show_tail(log);
    }
    Err(error).context(format!("waited for: {what}"))
}

fn show_tail(name: &str) {
    let path = place::log(name);
    let bytes = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    println!("--- the last lines of {}", path.display());
    for line in tail(&text) {
        println!("{line}");
    }
}

fn tail(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_condition_the_limit_or_an_error() {
        let mut looks = 0;
        let outcome = until("two looks", Duration::from_secs(60), &[], || {
            looks += 1;
            Ok(match looks {
                2 => Seen::Yes,
                _ => Seen::NotYet("one look".to_owned()),
            })
        });
        assert!(outcome.is_ok());
        let never = || Ok(Seen::NotYet("it rains".to_owned()));
        let error = until("sunshine", Duration::ZERO, &[], never).expect_err("too late");
        let told = format!("{error:#}");
        assert!(
            told.contains("sunshine") && told.contains("it rains"),
            "{told}"
        );
        let fails = || Err(anyhow!("the sun is gone"));
        let error = until("sunshine", Duration::from_secs(60), &[], fails).expect_err("at once");
        assert!(format!("{error:#}").contains("the sun is gone"));
    }

    #[test]
    fn the_tail_is_the_end() {
        let text: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(tail(&text).len(), TAIL_LINES);
        assert_eq!(tail(&text).last(), Some(&"99"));
        assert_eq!(tail("one"), ["one"]);
    }
}
