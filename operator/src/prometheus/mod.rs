//! A Prometheus server, asked by its HTTP API. What it says is bounded in size and time.

mod answer;
mod credentials;
mod error;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chandler_crds::names::prometheus as names;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use url::Url;
use url::form_urlencoded::Serializer;

use self::credentials::Login;

pub use answer::{Labels, Point, Series};
pub use credentials::{Credentials, CredentialsError};
pub use error::QueryError;

/// The longest that one answer is waited for; the server is told so too.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// Longest answer that is read: the buckets of a thousand replicas are about 10 MiB.
const ANSWER_LIMIT: usize = 32 << 20;
/// Longest answer of a server that could not do what it was asked for.
const ERROR_LIMIT: usize = 64 << 10;
const USER_AGENT: &str = concat!("chandler/", env!("CARGO_PKG_VERSION"));

/// The server. Copies share its connections.
#[derive(Clone, Debug)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// As it was given.
    address: Url,
    /// Where queries go.
    query: Url,
    credentials: Credentials,
    answer_time: Duration,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0.address.as_str();
        f.write_str(address.strip_suffix('/').unwrap_or(address))
    }
}

impl Server {
    /// The one whose API begins at `address`. Nobody is asked yet.
    ///
    /// # Errors
    /// The authorities to be trusted can't be read.
    pub fn new(address: &Url, credentials: Credentials) -> Result<Self, CredentialsError> {
        Self::within(address, credentials, ANSWER_TIME)
    }

    fn within(
        address: &Url,
        credentials: Credentials,
        answer_time: Duration,
    ) -> Result<Self, CredentialsError> {
        // An error would mean that the process has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(answer_time)
            // What is asked by POST would be asked by GET elsewhere.
            .redirect(Policy::none())
            .tls_certs_merge(credentials.authorities()?);
        let client = client.build();
        let client = client.map_err(|error| CredentialsError::Authorities(cause(&error)))?;
        let mut query = address.clone();
        let folder = address.path().trim_end_matches('/');
        query.set_path(&format!("{folder}{}", names::QUERY));
        Ok(Self(Arc::new(Inner {
            client,
            address: address.clone(),
            query,
            credentials,
            answer_time,
        })))
    }

    /// What its clock shows, in milliseconds since 1970.
    ///
    /// # Errors
    /// No answer, or one that is not of its API.
    pub async fn time(&self) -> Result<i64, QueryError> {
        Ok(answer::scalar(&self.ask("time()").await?)?.at)
    }

    /// All series of a range selector, with their samples as they were scraped.
    ///
    /// # Errors
    /// No answer, or one that is not of its API.
    pub async fn samples(&self, selector: &str) -> Result<Vec<Series>, QueryError> {
        answer::matrix(&self.ask(selector).await?)
    }

    async fn ask(&self, expression: &str) -> Result<Vec<u8>, QueryError> {
        let request = self.0.client.post(self.0.query.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(expression));
        let response = self.with_login(request).await?.send().await;
        let response = response.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return self.body(response, ANSWER_LIMIT).await;
        }
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => QueryError::Refused(status),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => QueryError::NoApi(status),
            status if status.is_redirection() => QueryError::Elsewhere(status),
            status => match self.body(response, ERROR_LIMIT).await {
                Ok(text) => answer::refusal(status, &text),
                Err(error) => error,
            },
        })
    }

    fn form(&self, expression: &str) -> String {
        let timeout = format!("{}s", self.0.answer_time.as_secs());
        let mut form = Serializer::new(String::new());
        form.append_pair("query", expression);
        form.append_pair("timeout", &timeout);
        form.finish()
    }

    /// The credentials are read each time: some are replaced every hour.
    async fn with_login(&self, request: RequestBuilder) -> Result<RequestBuilder, QueryError> {
        Ok(match self.0.credentials.login().await? {
            Login::Anonymous => request,
            Login::Bearer(token) => request.bearer_auth(token),
            Login::Basic(user, password) => request.basic_auth(user, Some(password)),
        })
    }

    /// The whole body, of at most so many bytes.
    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, QueryError> {
        let mut whole = Vec::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|error| self.failed(&error))?
        {
            if whole.len() + part.len() > limit {
                return Err(QueryError::TooLong(limit));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole)
    }

    fn failed(&self, error: &reqwest::Error) -> QueryError {
        if error.is_timeout() {
            QueryError::Late(self.0.answer_time)
        } else {
            QueryError::Unreachable(cause(error))
        }
    }
}

/// The error at the bottom: those above it tell of the client's parts.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
