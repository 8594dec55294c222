//! The hub's HTTP: one request a connection.

use super::{Asked, Fault, Request, Shared};
use std::io::{BufRead, BufReader, Result, Write};
use std::net::TcpStream;

/// Reads the request on `stream` and answers it.
///
/// # Errors
/// When the client hangs up.
pub(super) fn answer(mut stream: &TcpStream, shared: &Shared) -> Result<()> {
    let (request, token) = read(stream)?;
    shared.lock().requests.push(request.clone());
    let path = request.path.as_str();
    let listed = path
        .strip_prefix("/api/models/")
        .and_then(|rest| rest.split_once("/revision/"));
    let asked = Asked::parse(path);
    let repository = listed.map_or_else(
        || asked.map(|asked| asked.repository),
        |(name, _)| Some(name),
    );
    if repository.is_some_and(|name| !shared.admits(name, token.as_deref())) {
        return head(stream, "401 Unauthorized", 0, "");
    }
    if let Some(listing) = listed.and_then(|(name, revision)| shared.listing(name, revision)) {
        let body = listing.to_string();
        head(stream, "200 OK", body.len(), "")?;
        return stream.write_all(body.as_bytes());
    }
    let file = asked.and_then(|asked| Some((asked, shared.file(asked)?)));
    let Some((asked, (bytes, fault))) = file else {
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
        shared.wait_mended(asked);
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

/// The request and the token that it bears.
fn read(stream: &TcpStream) -> Result<(Request, Option<String>)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let (mut first_byte, mut token) = (0, None);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let start = value.trim_start_matches("bytes=").split('-').next();
                first_byte = start.unwrap_or_default().parse().unwrap_or(0);
            }
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    Ok((Request { path, first_byte }, token))
}
