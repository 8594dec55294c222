//! The hub's HTTP: one request a connection.

use super::{Fault, Request, Shared};
use std::io::{BufRead, BufReader, Result, Write};
use std::net::TcpStream;

/// Reads the request on `stream` and answers it.
///
/// # Errors
/// When the client hangs up.
pub(super) fn answer(mut stream: &TcpStream, shared: &Shared) -> Result<()> {
    let request = read(stream)?;
    shared.lock().requests.push(request.clone());
    let path = request.path.as_str();
    let model = format!("/api/models/{}/revision/", shared.repository);
    if let Some(listing) = path.strip_prefix(&model).and_then(|it| shared.listing(it)) {
        let body = listing.to_string();
        head(stream, "200 OK", body.len(), "")?;
        return stream.write_all(body.as_bytes());
    }
    let asked = shared.file_asked(path);
    let file = asked.and_then(|(commit, path)| Some((path, shared.file(commit, path)?)));
    let Some((path, (bytes, fault))) = file else {
        return head(stream, "404 Not Found", 0, "");
    };
    let (first, size) = (request.first_byte, bytes.len());
    if first >= size {
        return head(stream, "416 Range Not Satisfiable", 0, "");
    }
    match first {
        0 => head(stream, "200 OK", size, "")?,
        _ => {
            let range = format!("Content-Range: bytes {first}-{}/{size}\r\n", size - 1);
            head(stream, "206 Partial Content", size - first, &range)?;
        }
    }
    send(stream, &bytes[first..], first, fault, || {
        shared.wait_mended(path);
    })
}

/// Sends what a file holds from byte `first` on, with what shall go wrong.
fn send(
    mut stream: &TcpStream,
    bytes: &[u8],
    first: usize,
    fault: Option<Fault>,
    wait: impl FnOnce(),
) -> Result<()> {
    let split = |at: usize| bytes.split_at(at.saturating_sub(first).min(bytes.len()));
    match fault {
        None => stream.write_all(bytes),
        Some(Fault::Cut(at)) => stream.write_all(split(at).0),
        Some(Fault::Hold(at)) => {
            let (now, later) = split(at);
            stream.write_all(now)?;
            wait();
            stream.write_all(later)
        }
        Some(Fault::Corrupt) => {
            let (whole, last) = bytes.split_at(bytes.len() - 1);
            stream.write_all(whole)?;
            stream.write_all(&[last[0] ^ 1])
        }
    }
}

fn head(mut stream: &TcpStream, status: &str, length: usize, more: &str) -> Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
    )
}

fn read(stream: &TcpStream) -> Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut first_byte = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            let start = range.split('-').next().unwrap_or_default();
            first_byte = start.parse().unwrap_or(0);
        }
    }
    Ok(Request { path, first_byte })
}
