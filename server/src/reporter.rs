//! What the process tells whoever started it: a JSON line for each event on standard output, and
//! the last one in the container's termination log as well.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use chandler_crds::report::{Report, TERMINATION_MESSAGE_LIMIT};

use crate::startup::StartError;

/// Exit code when the model or its configuration is bad.
const EXIT_BAD_MODEL: u8 = 65;
/// Exit code when trying again may help.
const EXIT_UNAVAILABLE: u8 = 69;
/// Characters of an error's message at most. Its line must fit a termination message, where a
/// character takes up to six bytes.
const MAX_MESSAGE: usize = 600;

/// Writes reports.
#[derive(Debug)]
pub struct Reporter {
    termination_log: Option<PathBuf>,
}

impl Reporter {
    /// Leaves the last report in this file too, if one is given.
    #[must_use]
    pub fn new(termination_log: Option<PathBuf>) -> Self {
        Self { termination_log }
    }

    /// Tells of something that the process goes on after.
    pub fn say(&self, report: &Report) {
        if let Some(line) = line_of(report) {
            print(&line);
        }
    }

    /// Tells the result that the process ends with.
    ///
    /// # Errors
    /// [`StartError::ReportTooLong`] if it does not fit the termination log, where it would be cut.
    pub fn end(&self, report: &Report) -> Result<(), StartError> {
        let Some(line) = line_of(report) else {
            return Ok(());
        };
        if self.termination_log.is_some() && line.len() > TERMINATION_MESSAGE_LIMIT {
            return Err(StartError::ReportTooLong { bytes: line.len() });
        }
        self.keep(&line);
        print(&line);
        Ok(())
    }

    /// Tells why the process ends. Gives its exit code.
    pub fn fail(&self, error: &StartError) -> u8 {
        let (reason, transient) = (error.reason(), error.is_transient());
        tracing::error!(reason, %error, transient, "failed");
        let report = Report::Failed {
            reason: reason.to_owned(),
            message: shortened(&error.to_string()),
            transient,
        };
        if let Some(line) = line_of(&report) {
            self.keep(&line);
            print(&line);
        }
        match transient {
            true => EXIT_UNAVAILABLE,
            false => EXIT_BAD_MODEL,
        }
    }

    fn keep(&self, line: &str) {
        let Some(path) = &self.termination_log else {
            return;
        };
        if let Err(error) = fs::write(path, format!("{line}\n")) {
            tracing::warn!(path = %path.display(), %error, "the termination log can't be written");
        }
    }
}

fn line_of(report: &Report) -> Option<String> {
    let line = report.to_line();
    line.inspect_err(|error| tracing::error!(%error, "a report can't be written"))
        .ok()
}

/// The parent may have stopped reading.
fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_message_fits_a_termination_log() {
        let report = Report::Failed {
            reason: "InvalidResponse".to_owned(),
            message: shortened(&"\u{1}".repeat(5000)),
            transient: true,
        };
        let line = report.to_line().unwrap();
        assert!(line.len() < TERMINATION_MESSAGE_LIMIT, "{}", line.len());
        assert_eq!(shortened("short"), "short");
    }

    #[test]
    fn a_lock_that_would_be_cut_is_an_error() {
        let file = |number: u64| chandler_crds::LockedFile {
            path: format!("{number}.safetensors"),
            size: number,
            // Digits that don't compress.
            sha256: format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(4),
        };
        let lock = chandler_crds::ModelLock {
            files: (0..2000).map(file).collect(),
            ..chandler_crds::ModelLock::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let reporter = Reporter::new(Some(log.clone()));
        let error = reporter.end(&Report::Resolved { lock }).unwrap_err();
        assert_eq!(
            (error.reason(), error.is_transient()),
            ("ReportTooLong", false)
        );
        assert!(!log.exists());
        assert_eq!(reporter.fail(&error), EXIT_BAD_MODEL);
        let kept = Report::parse(&fs::read_to_string(&log).unwrap());
        assert!(
            matches!(
                kept,
                Some(Report::Failed {
                    transient: false,
                    ..
                })
            ),
            "{kept:?}"
        );
    }
}
