//! As much of an API server as a gateway asks for: lists and watches of what it is given.

use super::message;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// An API server. Its threads wait until the program ends.
#[derive(Clone, Debug)]
pub(super) struct ApiServer {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    /// By plural of the kind and name.
    objects: BTreeMap<(String, String), Value>,
    /// Each with its kind, as a line of a watch. The version of a change is its place, from 1.
    changes: Vec<(String, String)>,
}

impl ApiServer {
    /// Starts one without objects.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let server = Self {
            addr: listener.local_addr()?,
            shared: Arc::default(),
        };
        let shared = server.shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // An error is a client that has gone.
                thread::spawn(move || shared.serve(stream).is_ok());
            }
        });
        Ok(server)
    }

    /// Adds an object, or replaces it.
    pub(super) fn put(&self, kind: &str, object: Value) {
        self.change("MODIFIED", kind, object);
    }

    /// Takes an object away.
    pub(super) fn delete(&self, kind: &str, object: Value) {
        self.change("DELETED", kind, object);
    }

    fn change(&self, event: &str, kind: &str, mut object: Value) {
        let mut content = self.shared.lock();
        let version = content.changes.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let key = (kind.to_owned(), name.to_owned());
        let line = format!("{}\n", json!({"type": event, "object": object}));
        if event == "DELETED" {
            content.objects.remove(&key);
        } else {
            content.objects.insert(key, object);
        }
        content.changes.push((kind.to_owned(), line));
        drop(content);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = Vec::new();
        loop {
            let target = next_target(&mut stream, &mut read)?;
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let kind = path.rsplit('/').next().unwrap_or_default();
            if query
                .split('&')
                .any(|pair| pair == "watch=true" || pair == "watch=1")
            {
                return self.watch(&mut stream, kind, from(query));
            }
            let body = self.list(kind).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            let answer = format!("{head} {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes())?;
        }
    }

    fn list(&self, kind: &str) -> Value {
        let content = self.lock();
        let of_kind = content.objects.iter().filter(|((of, _), _)| of == kind);
        let items: Vec<&Value> = of_kind.map(|(_, object)| object).collect();
        let version = content.changes.len().to_string();
        json!({"metadata": {"resourceVersion": version}, "items": items})
    }

    /// Tells of changes after the first `seen` ones until the client goes.
    fn watch(&self, stream: &mut TcpStream, kind: &str, mut seen: usize) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        loop {
            let content = self.lock();
            let content = self
                .changed
                .wait_while(content, |content| content.changes.len() <= seen)
                .unwrap_or_else(PoisonError::into_inner);
            let news = content.changes[seen..].iter().filter(|(of, _)| of == kind);
            let lines: String = news.map(|(_, line)| line.as_str()).collect();
            seen = content.changes.len();
            drop(content);
            if !lines.is_empty() {
                stream.write_all(&super::question::chunk(lines.as_bytes()))?;
            }
        }
    }
}

/// The version that a watch begins behind.
fn from(query: &str) -> usize {
    let mut pairs = query.split('&');
    let version = pairs.find_map(|pair| pair.strip_prefix("resourceVersion="));
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// Path and query of the next request, which has no body.
fn next_target(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<String> {
    let mut piece = [0; 4096];
    loop {
        if let Some(head) = message::head(read) {
            let request: Vec<u8> = read.drain(..head.length).collect();
            let request = String::from_utf8_lossy(&request);
            let target = request.split(' ').nth(1);
            return Ok(target.unwrap_or_default().to_owned());
        }
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(name: &str) -> Value {
        json!({"metadata": {"name": name}})
    }

    /// What has been answered once it holds `wanted`.
    fn ask(server: &ApiServer, target: &str, wanted: &str) -> String {
        let mut stream = TcpStream::connect(server.addr).expect("connected");
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        let mut piece = [0; 4096];
        while !text.contains(wanted) {
            let read = stream.read(&mut piece).expect("answered");
            assert_ne!(read, 0, "no {wanted} in {text}");
            text += &String::from_utf8_lossy(&piece[..read]);
        }
        text
    }

    #[test]
    fn a_list_has_what_is_there_and_a_watch_what_comes_after() {
        let server = ApiServer::start().expect("started");
        server.put("things", thing("a"));
        server.put("things", thing("b"));
        server.put("others", thing("c"));
        server.delete("things", thing("a"));
        let list = ask(&server, "/apis/g/v1/things?limit=500", "}");
        assert!(
            list.contains(r#""metadata":{"resourceVersion":"4"}"#),
            "{list}"
        );
        assert!(list.contains(r#""name":"b""#), "{list}");
        assert!(!list.contains(r#""name":"a""#) && !list.contains(r#""name":"c""#));
        let watch = "/apis/g/v1/namespaces/n/things?watch=true&resourceVersion=2";
        let events = ask(&server, watch, "DELETED");
        assert!(!events.contains(r#""name":"b""#) && !events.contains(r#""name":"c""#));
    }
}
