//! The flag that says where the operator has its numbers from.

use std::str::FromStr;

use chandler_crds::names::prometheus as names;
use url::Url;

/// Who tells what replicas measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetricsFrom {
    /// Each replica, asked every second.
    #[default]
    Pods,
    /// A Prometheus server, by the address of its API.
    Prometheus(Url),
}

/// What is wrong with the flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// It is of neither form.
    #[error(
        "write pods, or prometheus=URL such as prometheus=http://prometheus.monitoring.svc:9090"
    )]
    Form,
    /// There is no URL.
    #[error("`{0}` is no URL ({1}): write one such as http://prometheus.monitoring.svc:9090")]
    Url(String, url::ParseError),
    /// It is of another kind.
    #[error("`{0}:` is not spoken: write http:// or https://")]
    Scheme(String),
    /// It has a login.
    #[error(
        "leave the login out of the URL: put username and password, or token, into a folder and name it in --metrics-credentials"
    )]
    Login,
    /// It has a query or a fragment.
    #[error("leave `?` and `#`, and all behind them, out of the URL")]
    Query,
    /// It goes further than it should.
    #[error("leave {0} out of the URL: it is added")]
    Path(&'static str),
}

impl Unclear {
    /// The error as one CamelCase word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Form => "NeitherPodsNorPrometheus",
            Self::Url(..) => "NoUrl",
            Self::Scheme(_) => "UnknownScheme",
            Self::Login => "LoginInUrl",
            Self::Query => "QueryInUrl",
            Self::Path(_) => "PathTooLong",
        }
    }
}

impl FromStr for MetricsFrom {
    type Err = Unclear;

    fn from_str(text: &str) -> Result<Self, Unclear> {
        match text.split_once('=') {
            None if text == "pods" => Ok(Self::Pods),
            Some(("prometheus", url)) => Ok(Self::Prometheus(address(url)?)),
            _ => Err(Unclear::Form),
        }
    }
}

fn address(text: &str) -> Result<Url, Unclear> {
    let url: Url = text
        .parse()
        .map_err(|error| Unclear::Url(text.to_owned(), error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Unclear::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Unclear::Login);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Unclear::Query);
    }
    if url.path().trim_end_matches('/').ends_with(names::QUERY) {
        return Err(Unclear::Path(names::QUERY));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_or_a_server_are_asked() {
        assert_eq!("pods".parse(), Ok(MetricsFrom::Pods));
        for good in [
            "http://prometheus:9090",
            "http://prometheus.monitoring.svc:9090/",
            "https://[fd00::1]:9090/prefix",
        ] {
            let parsed: MetricsFrom = format!("prometheus={good}").parse().expect(good);
            assert_eq!(parsed, MetricsFrom::Prometheus(good.parse().expect(good)));
        }
    }

    #[test]
    fn what_is_wrong_tells_what_to_write() {
        for (bad, reason, words) in [
            (
                "",
                "NeitherPodsNorPrometheus",
                "write pods, or prometheus=URL",
            ),
            ("prometheus", "NeitherPodsNorPrometheus", "prometheus=URL"),
            (
                "pods=http://a",
                "NeitherPodsNorPrometheus",
                "prometheus=URL",
            ),
            ("prometheus=", "NoUrl", "write one such as http://"),
            (
                "prometheus=prometheus:9090",
                "UnknownScheme",
                "write http://",
            ),
            ("prometheus=http://", "NoUrl", "no URL"),
            (
                "prometheus=ftp://a",
                "UnknownScheme",
                "`ftp:` is not spoken",
            ),
            (
                "prometheus=http://me:word@a",
                "LoginInUrl",
                "--metrics-credentials",
            ),
            ("prometheus=http://a/?x=1", "QueryInUrl", "leave `?`"),
            ("prometheus=http://a/#x", "QueryInUrl", "leave `?`"),
            (
                "prometheus=http://a/api/v1/query",
                "PathTooLong",
                "it is added",
            ),
        ] {
            let error = bad.parse::<MetricsFrom>().expect_err(bad);
            assert_eq!(error.reason(), reason, "{bad}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
