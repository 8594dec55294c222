//! `chandler-gateway check`: waits until an address answers well. The images hold no shell and no
//! other client, and an installation wants to be tested from inside the cluster.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{interval, timeout};

use crate::cli::CheckArgs;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest that one try may take.
const TRY_TIME: Duration = Duration::from_secs(5);

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Only plain HTTP is spoken inside a cluster.
    #[error("{url} is no address to check: write http://host:port/path")]
    Address {
        /// What was given.
        url: Uri,
    },
    /// It never answered with a status of 2xx.
    #[error("{url} did not answer well within {seconds} s: {last}")]
    Unwell {
        /// What was asked.
        url: Uri,
        /// For how long.
        seconds: u64,
        /// What came of the last try.
        last: String,
    },
}

impl CheckError {
    /// The error as one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "InvalidAddress",
            Self::Unwell { .. } => "NotWell",
        }
    }
}

/// Asks until the answer is good.
///
/// # Errors
/// It was not in time, or the address is none.
pub async fn check(args: &CheckArgs) -> Result<(), CheckError> {
    let url = args.url.clone();
    if url.scheme_str() != Some("http") || url.host().is_none() {
        return Err(CheckError::Address { url });
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut last = "it was not asked".to_owned();
    let asked = async {
        let mut tick = interval(AGAIN);
        loop {
            tick.tick().await;
            match timeout(TRY_TIME, client.get(url.clone())).await {
                Ok(Ok(answer)) if answer.status().is_success() => return answer.status(),
                Ok(Ok(answer)) => last = format!("it answered {}", answer.status()),
                Ok(Err(error)) => last = format!("it can't be reached: {error}"),
                Err(_) => last = format!("no answer in {} s", TRY_TIME.as_secs()),
            }
        }
    };
    let outcome = timeout(Duration::from_secs(args.timeout_seconds), asked).await;
    outcome
        .map(|_: StatusCode| ())
        .map_err(|_| CheckError::Unwell {
            url: args.url.clone(),
            seconds: args.timeout_seconds,
            last,
        })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    async fn told(path: &str) -> Result<(), CheckError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = listener.local_addr().expect("its address");
        let well = Router::new().route("/well", get(|| async { "well" }));
        tokio::spawn(async move { axum::serve(listener, well).await });
        let url = format!("http://{base}{path}").parse().expect("an address");
        check(&CheckArgs {
            url,
            timeout_seconds: 1,
        })
        .await
    }

    #[tokio::test]
    async fn a_good_answer_is_well_and_another_is_told() {
        told("/well").await.expect("it is well");
        let error = told("/missing").await.expect_err("it is not there");
        assert!(error.to_string().contains("404"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        let url = "https://gateway/readyz".parse().expect("an address");
        let args = CheckArgs {
            url,
            timeout_seconds: 1,
        };
        let error = check(&args).await.expect_err("TLS is not spoken");
        assert_eq!(error.reason(), "InvalidAddress");
    }
}
