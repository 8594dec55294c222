//! One question a connection, by hand: a client that can leave in the middle, and tells when each event came.

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bounds a hang: a request may wait for all that came before it.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A wait of no time can't be asked for.
const LEAST: Duration = Duration::from_millis(1);

/// An answer, as far as it was read. Dropped, it closes the connection.
#[derive(Debug)]
pub(super) struct Answer {
    reader: BufReader<TcpStream>,
    pub(super) status: u16,
    /// Seconds after which the server wants to be asked again.
    pub(super) retry_after: Option<u64>,
}

/// Sends a completion and reads the head of its answer, which begins with the first event. Nothing is waited for
/// beyond `end`.
///
/// # Errors
/// When there is none.
pub(super) fn ask(server: SocketAddr, body: &Value, end: Option<Instant>) -> Result<Answer> {
    let mut stream = TcpStream::connect(server).context("can't connect")?;
    stream.set_nodelay(true)?;
    let left = end.map_or(PATIENCE, |end| {
        end.saturating_duration_since(Instant::now())
    });
    stream.set_read_timeout(Some(left.max(LEAST)))?;
    let body = body.to_string();
    // By HTTP/1.0 the body is as it is, to the connection's end.
    let request = format!(
        "POST /v1/completions HTTP/1.0\r\nhost: server\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (status, fields) = head(&mut reader)?;
    let retry_after = fields
        .iter()
        .find_map(|(name, value)| (name == "retry-after").then(|| value.parse().ok())?);
    Ok(Answer {
        reader,
        status,
        retry_after,
    })
}

/// The status and the fields of an answer, their names in small letters.
///
/// # Errors
/// When that is not what comes.
pub(super) fn head(reader: &mut impl BufRead) -> Result<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).context("no answer")?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no answer but {line:?}"))?;
    let mut fields = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).context("the head broke off")?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => return Ok((status, fields)),
        }
    }
}

impl Answer {
    /// The data of the next event; `None` where the answer ends.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) fn event(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        while self.reader.read_line(&mut line).context("it broke off")? > 0 {
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                return Ok(Some(data.to_owned()));
            }
            line.clear();
        }
        Ok(None)
    }

    /// What is left of the body.
    pub(super) fn text(mut self) -> String {
        let mut text = String::new();
        // An example of what went wrong: a part of it is as good.
        let _ = self.reader.read_to_string(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_status_and_fields() {
        let mut text = "HTTP/1.0 429 Too Many\r\nRetry-After: 7\r\n\r\nrest".as_bytes();
        let (status, fields) = head(&mut text).expect("a head");
        assert_eq!(status, 429);
        assert_eq!(fields, [("retry-after".to_owned(), "7".to_owned())]);
        assert_eq!(text, b"rest");
        assert!(head(&mut "nonsense".as_bytes()).is_err());
    }
}
