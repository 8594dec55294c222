//! The CSV form in which public traces of language models come.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Request, Trace};

const TIMESTAMP: &str = "TIMESTAMP";
const CONTEXT_TOKENS: &str = "ContextTokens";
const GENERATED_TOKENS: &str = "GeneratedTokens";

/// Why a trace can't be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct TraceError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The header lacks a column.
    #[error(
        "there is no column `{0}`: begin with the header `{TIMESTAMP},{CONTEXT_TOKENS},{GENERATED_TOKENS}`"
    )]
    NoColumn(&'static str),
    /// The line ends before a column.
    #[error("it ends before the column `{0}`: write a value for each column of the header")]
    NoValue(&'static str),
    /// No time.
    #[error(
        "`{0}` is no time: write one such as 2023-11-16 18:15:46.680 or 2023-11-16T18:15:46+00:00"
    )]
    Time(String),
    /// No count of tokens.
    #[error("`{value}` is no count of {column}: write a whole number, such as 374")]
    Count {
        /// Its column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// Nothing follows the header.
    #[error("no request follows: write one a line below the header")]
    Empty,
}

impl Fault {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoColumn(_) => "MissingColumn",
            Self::NoValue(_) => "MissingValue",
            Self::Time(_) => "InvalidTime",
            Self::Count { .. } => "InvalidCount",
            Self::Empty => "EmptyTrace",
        }
    }
}

/// Where the columns stand.
struct Columns {
    at: usize,
    prompt: usize,
    generated: usize,
}

impl Columns {
    /// Finds them by name, in any order and among others.
    fn find(header: &str) -> Result<Self, Fault> {
        let names: Vec<_> = header.split(',').map(bare).collect();
        let find = |wanted: &'static str| {
            let found = names.iter().position(|name| *name == wanted);
            found.ok_or(Fault::NoColumn(wanted))
        };
        Ok(Self {
            at: find(TIMESTAMP)?,
            prompt: find(CONTEXT_TOKENS)?,
            generated: find(GENERATED_TOKENS)?,
        })
    }

    /// The request of a line, and when it came.
    fn read(&self, line: &str) -> Result<(Timestamp, u32, u32), Fault> {
        let cells: Vec<_> = line.split(',').map(bare).collect();
        let cell = |index: usize, column| {
            let cell = cells.get(index).copied();
            cell.ok_or(Fault::NoValue(column))
        };
        let count = |index, column| {
            let value = cell(index, column)?;
            value.parse::<u32>().map_err(|_| Fault::Count {
                column,
                value: value.to_owned(),
            })
        };
        Ok((
            time(cell(self.at, TIMESTAMP)?)?,
            count(self.prompt, CONTEXT_TOKENS)?,
            count(self.generated, GENERATED_TOKENS)?,
        ))
    }
}

/// A cell without the spaces and quotes around it. No column of a trace holds a comma.
fn bare(cell: &str) -> &str {
    cell.trim().trim_matches('"')
}

/// A time that tells no zone is meant in UTC.
fn time(text: &str) -> Result<Timestamp, Fault> {
    let fault = || Fault::Time(text.to_owned());
    let short = text.trim_end_matches("UTC").trim_end();
    if let Ok(at) = short.parse() {
        return Ok(at);
    }
    let civil: DateTime = short.parse().map_err(|_| fault())?;
    TimeZone::UTC.to_timestamp(civil).map_err(|_| fault())
}

impl Trace {
    /// Reads a trace as CSV. Columns are found by the names in the header; lines need not be in
    /// the order of time. Time counts from the earliest request, and the trace ends with the last.
    ///
    /// # Errors
    /// The first line that can't be read.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = (1..).zip(text.lines());
        let mut lines = lines.by_ref().filter(|(_, text)| !text.trim().is_empty());
        let (first, header) = lines.next().unwrap_or((1, ""));
        let at = |line| move |fault| TraceError { line, fault };
        let columns = Columns::find(header).map_err(at(first))?;
        let read: Vec<_> = lines
            .map(|(line, text)| columns.read(text).map_err(at(line)))
            .collect::<Result<_, _>>()?;
        let times = || read.iter().map(|(time, ..)| *time);
        let (Some(begin), Some(end)) = (times().min(), times().max()) else {
            return Err(at(first)(Fault::Empty));
        };
        let since = |time: Timestamp| -> Duration { time.duration_since(begin).unsigned_abs() };
        let requests = read
            .iter()
            .map(|(time, prompt_tokens, generated_tokens)| Request {
                at: since(*time),
                prompt_tokens: *prompt_tokens,
                generated_tokens: *generated_tokens,
            });
        Ok(Self::ordered(requests.collect(), since(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(millis: u64, prompt_tokens: u32, generated_tokens: u32) -> Request {
        Request {
            at: Duration::from_millis(millis),
            prompt_tokens,
            generated_tokens,
        }
    }

    #[test]
    fn the_public_form_is_read() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
            2023-11-16 18:15:46.6805900,374,44\r\n\
            2023-11-16 18:15:47.1805900,396,109\r\n";
        let trace = Trace::parse(text).expect("a trace");
        assert_eq!(
            trace.requests,
            [request(0, 374, 44), request(500, 396, 109)]
        );
        assert_eq!(trace.length, Duration::from_millis(500));
        assert_eq!(trace.rate(), 4.0);
    }

    #[test]
    fn columns_have_any_order_and_times_any_form() {
        let text = "\u{feff}GeneratedTokens,\"Region\",ContextTokens,TIMESTAMP\n\
            1,eu,10,2024-05-10 00:00:01\n\
            2,eu,20,2024-05-10T00:00:02.25\n\n\
            3,eu,30,\"2024-05-10 02:00:03+02:00\"\n\
            4,eu,40,2024-05-10T00:00:04Z\n\
            5,eu,50,2024-05-10 00:00:05 UTC\n";
        let trace = Trace::parse(text).expect("a trace");
        let wanted = [
            request(0, 10, 1),
            request(1250, 20, 2),
            request(2000, 30, 3),
            request(3000, 40, 4),
            request(4000, 50, 5),
        ];
        assert_eq!(trace.requests, wanted);
    }

    #[test]
    fn requests_are_put_in_order_and_those_of_one_moment_stay() {
        let text = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
            2024-05-10 00:00:09,1,1\n2024-05-10 00:00:02,2,2\n\
            2024-05-10 00:00:09,3,3\n2024-05-10 00:00:04,4,4\n";
        let trace = Trace::parse(text).expect("a trace");
        let prompts: Vec<_> = trace.requests.iter().map(|it| it.prompt_tokens).collect();
        assert_eq!(prompts, [2, 4, 1, 3]);
        assert_eq!(trace.length, Duration::from_secs(7));
    }

    #[test]
    fn faults_tell_their_line_and_what_to_write() {
        let head = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,1,1\n\n";
        let cases = [
            ("", 1, "MissingColumn", "no column `TIMESTAMP`"),
            (
                "TIMESTAMP,GeneratedTokens\n",
                1,
                "MissingColumn",
                "`ContextTokens`",
            ),
            (
                "\nTIMESTAMP,ContextTokens,GeneratedTokens\n",
                2,
                "EmptyTrace",
                "one a line",
            ),
            (
                &format!("{head}2024-05-10 00:00:00,1\n"),
                4,
                "MissingValue",
                "`GeneratedTokens`",
            ),
            (
                &format!("{head}yesterday,1,1\n"),
                4,
                "InvalidTime",
                "`yesterday` is no time: write one such as",
            ),
            (
                &format!("{head}2024-05-10 00:00:00,1,-1\n"),
                4,
                "InvalidCount",
                "`-1` is no count of GeneratedTokens: write a whole number",
            ),
        ];
        for (text, line, reason, words) in cases {
            let error = Trace::parse(text).expect_err(reason);
            assert_eq!((error.line, error.fault.reason()), (line, reason), "{text}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
