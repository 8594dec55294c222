//! Servers on loopback that answer as a test says.

use std::future::Future;

use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The line of the request and its headers, in lower case.
    pub(crate) head: String,
    /// The body; null if it has none.
    pub(crate) json: Value,
}

/// Answers every request by what `answer` makes of it, a whole HTTP message; tells the address.
pub(crate) async fn serve<F, A>(answer: F) -> Url
where
    F: Fn(Asked) -> A + Clone + Send + 'static,
    A: Future<Output = String> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                if let Some(asked) = read(&mut stream).await {
                    let _ = stream.write_all(answer(asked).await.as_bytes()).await;
                }
            });
        }
    });
    format!("http://{address}/v1/").parse().expect("an address")
}

/// A whole answer of this status.
pub(crate) fn reply(status: u16, body: &str) -> String {
    reply_with(status, "", body)
}

/// A whole answer with further headers, each with the end of its line.
pub(crate) fn reply_with(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Reads a whole request: who closes before sees its answer lost.
async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let path = head.split(' ').nth(1)?.to_owned();
            let head = head.to_lowercase();
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|it| it.parse().ok()).unwrap_or(0) <= body.len() {
                let json = serde_json::from_str(body).unwrap_or_default();
                return Some(Asked { path, head, json });
            }
        }
        if stream.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
}
