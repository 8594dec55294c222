//! How long replicas have been without a request, as they tell themselves. Requests reach them by
//! other ways than this process's gateway, too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chandler_probe::{Client, least_idle};
use tokio::task::JoinSet;

/// How long all of them may take to tell.
const TIME: Duration = Duration::from_secs(1);

/// By revision, how long none of its replicas has had a request. A revision of which one did not
/// tell is left out.
pub(super) async fn of(
    client: &Client,
    replicas: Vec<(String, Vec<SocketAddr>)>,
) -> BTreeMap<String, Duration> {
    let mut asked = JoinSet::new();
    for (revision, addrs) in replicas {
        let client = client.clone();
        asked.spawn(async move { Some((revision, least_idle(&client, &addrs, TIME).await?)) });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chandler_crds::names::paths;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A replica that tells `text` to whoever asks for its metrics.
    async fn replica(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(format!("GET {} ", paths::METRICS).as_bytes()));
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        addr
    }

    #[tokio::test]
    async fn a_replica_tells_by_its_metrics_or_not_at_all() {
        let told = [
            ("told", "x 1\nchandler:idle_seconds{model_name=\"m\"} 7.5\n"),
            ("busy", "chandler:idle_seconds 0\n"),
            ("silent", "vllm:num_requests_running 0\n"),
            ("odd", "chandler:idle_seconds NaN\n"),
            ("negative", "chandler:idle_seconds -1\n"),
            ("malformed", "chandler:idle_seconds\n"),
        ];
        let mut replicas = Vec::new();
        for (revision, text) in told {
            replicas.push((revision.to_owned(), vec![replica(text).await]));
        }
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        replicas.push(("gone".to_owned(), vec![gone.local_addr().unwrap()]));
        drop(gone);
        let expected = [
            ("told".to_owned(), Duration::from_millis(7500)),
            ("busy".to_owned(), Duration::ZERO),
        ];
        assert_eq!(of(&Client::new(), replicas).await, expected.into());
    }
}
