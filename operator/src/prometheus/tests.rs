#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode as Status, header};
use axum::response::IntoResponse;
use axum::routing::any;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;

/// As the module prometheus v0.316.0 answered, one number aside.
const TIME: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1795706622.625,"1795706622.625"]}}"#;
const BUCKETS: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"vllm:time_to_first_token_seconds_bucket","instance":"127.0.0.1:19433","job":"models","le":"+Inf","model_name":"m","namespace":"team","pod":"chat-a1-x"},"values":[[1795706613.867,"37"],[1795706618.867,"47"]]},{"metric":{"__name__":"vllm:time_to_first_token_seconds_bucket","instance":"127.0.0.1:19433","job":"models","le":"0.5","model_name":"m","namespace":"team","pod":"chat-a1-x"},"values":[[1795706613.867,"18"],[1795706618.867,"NaN"]]}]}}"#;
const BAD_QUERY: &str = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:4: parse error: unexpected character inside braces: '['"}"#;
/// As its documentation has it.
const HISTOGRAM: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"pod":"a"},"histograms":[[1435781430.781,{"count":"60","sum":"33897","buckets":[]}]]}]},"warnings":["w"],"infos":["i"]}"#;

/// Where a question went, its form and its login.
type Asked = (String, String, Option<String>);
type Log = Arc<Mutex<Vec<Asked>>>;

/// A server that gives one answer to all.
struct Fake {
    url: Url,
    asked: Log,
}

impl Fake {
    async fn new(status: u16, body: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Log::default();
        let answer = (Status::from_u16(status).unwrap(), body.into());
        let router = Router::new()
            .fallback(any(told))
            .with_state((Arc::clone(&asked), answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url: url.parse().unwrap(),
            asked,
        }
    }

    fn server(&self, folder: Option<&Path>) -> Server {
        let credentials = Credentials::of(folder.map(Path::to_owned));
        Server::new(&self.url, credentials).unwrap()
    }
}

async fn told(
    State((asked, answer)): State<(Log, (Status, String))>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    form: String,
) -> impl IntoResponse {
    let login = headers.get(header::AUTHORIZATION);
    let login = login.map(|it| it.to_str().unwrap().to_owned());
    asked.lock().unwrap().push((uri.to_string(), form, login));
    (answer.0, [(header::LOCATION, "/elsewhere")], answer.1)
}

#[tokio::test]
async fn the_time_and_samples_are_read_as_the_server_told_them() {
    let fake = Fake::new(200, TIME).await;
    assert_eq!(fake.server(None).time().await, Ok(1_795_706_622_625));
    let fake = Fake::new(200, BUCKETS).await;
    let series = fake.server(None).samples("b[1m]").await.unwrap();
    let labels = |bound: &str| Labels {
        namespace: "team".to_owned(),
        pod: "chat-a1-x".to_owned(),
        job: "models".to_owned(),
        instance: "127.0.0.1:19433".to_owned(),
        bound: Some(bound.to_owned()),
    };
    let point = |at, value| Point { at, value };
    assert_eq!(series[0].labels, labels("+Inf"));
    let points = vec![
        point(1_795_706_613_867, 37.0),
        point(1_795_706_618_867, 47.0),
    ];
    assert_eq!(series[0].points, points);
    assert_eq!(series[1].labels, labels("0.5"));
    assert!(series[1].points[1].value.is_nan());
    let fake = Fake::new(200, HISTOGRAM).await;
    let series = fake.server(None).samples("h[1m]").await.unwrap();
    assert_eq!((series.len(), series[0].points.len()), (1, 0));
}

#[tokio::test]
async fn a_query_goes_to_the_api_below_the_address() {
    let mut fake = Fake::new(200, TIME).await;
    fake.server(None).time().await.unwrap();
    for prefix in ["/prefix", "/prefix/"] {
        fake.url.set_path(prefix);
        fake.server(None).ask("a{b=\"c d\"}[1m]").await.unwrap();
    }
    let asked = fake.asked.lock().unwrap().clone();
    let form = "query=a%7Bb%3D%22c+d%22%7D%5B1m%5D&timeout=5s";
    assert_eq!(asked[0].0, "/api/v1/query");
    assert_eq!(asked[0].1, "query=time%28%29&timeout=5s");
    for one in &asked[1..] {
        assert_eq!(
            (one.0.as_str(), one.1.as_str()),
            ("/prefix/api/v1/query", form)
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_with_its_reason() {
    let long = " ".repeat(ANSWER_LIMIT) + TIME;
    let of_matrix = BUCKETS.to_owned();
    let half = &TIME[..40];
    let odd = TIME.replace("\"1795706622.625\"", "\"today\"");
    let error = BAD_QUERY.to_owned();
    for (status, body, reason, words) in [
        (
            400,
            error.clone(),
            "QueryFailed",
            "(bad_data): invalid parameter",
        ),
        (200, error, "QueryFailed", "unexpected character"),
        (422, "{}".to_owned(), "UnexpectedStatus", "422"),
        (
            503,
            "no\n  upstream".to_owned(),
            "UnexpectedStatus",
            "\"no upstream\"",
        ),
        (503, "x".repeat(ERROR_LIMIT + 1), "AnswerTooLong", "MiB"),
        (401, String::new(), "Unauthorized", "--metrics-credentials"),
        (403, String::new(), "Unauthorized", "--metrics-credentials"),
        (404, "404 page not found".to_owned(), "NoApi", "--metrics"),
        (302, String::new(), "Redirected", "sends elsewhere"),
        (200, long, "AnswerTooLong", "more than 32 MiB"),
        (200, "<html>".to_owned(), "MalformedAnswer", "no JSON"),
        (200, half.to_owned(), "MalformedAnswer", "no JSON"),
        (
            200,
            "{\"status\":\"success\"}".to_owned(),
            "MalformedAnswer",
            "no data",
        ),
        (200, of_matrix, "MalformedAnswer", "no number"),
        (200, odd, "MalformedAnswer", "no number"),
    ] {
        let fake = Fake::new(status, body.clone()).await;
        let error = fake.server(None).time().await.unwrap_err();
        assert_eq!(error.reason(), reason, "{status} {body:.60}: {error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().len() < 400, "{error}");
    }
    let fake = Fake::new(200, TIME).await;
    let error = fake.server(None).samples("a[1m]").await.unwrap_err();
    assert_eq!(error.reason(), "MalformedAnswer");
}

#[tokio::test]
async fn who_is_not_there_or_says_nothing_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let soon = Duration::from_millis(1);
    let server = Server::within(&url, Credentials::default(), soon).unwrap();
    assert_eq!(server.time().await, Err(QueryError::Late(soon)));
    drop(listener);
    let server = Server::new(&url, Credentials::default()).unwrap();
    let error = server.time().await.unwrap_err();
    assert_eq!(error.reason(), "Unreachable", "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(server.to_string(), url.as_str().trim_end_matches('/'));
}

#[tokio::test]
async fn the_login_is_what_the_folder_holds_now() {
    let fake = Fake::new(200, TIME).await;
    let folder = TempDir::new().unwrap();
    let server = fake.server(Some(folder.path()));
    let put = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    let gone = |file: &str| fs::remove_file(folder.path().join(file)).unwrap();
    server.time().await.unwrap();
    put("token", "one\n");
    server.time().await.unwrap();
    put("token", "two");
    server.time().await.unwrap();
    put("username", "me");
    let error = server.time().await.unwrap_err();
    assert!(error.to_string().contains("token and username"), "{error}");
    gone("token");
    let error = server.time().await.unwrap_err();
    assert!(
        error.to_string().contains("username but not password"),
        "{error}"
    );
    put("password", "pass word\n");
    server.time().await.unwrap();
    gone("username");
    let error = server.time().await.unwrap_err();
    assert_eq!(error.reason(), "CredentialsAmbiguous");
    let asked = fake.asked.lock().unwrap().clone();
    let logins: Vec<_> = asked.iter().map(|(_, _, login)| login.as_deref()).collect();
    let basic = "Basic bWU6cGFzcyB3b3Jk";
    assert_eq!(
        logins,
        [None, Some("Bearer one"), Some("Bearer two"), Some(basic)]
    );
}

#[test]
fn authorities_must_be_certificates() {
    let url: Url = "https://prometheus".parse().unwrap();
    let folder = TempDir::new().unwrap();
    let server = || Server::new(&url, Credentials::of(Some(folder.path().to_owned())));
    assert!(server().is_ok());
    fs::write(
        folder.path().join("ca.crt"),
        "-----BEGIN CERTIFICATE-----\n?\n",
    )
    .unwrap();
    assert_eq!(server().unwrap_err().reason(), "AuthoritiesUnusable");
    drop(folder);
    let nowhere = Some("/nowhere/at/all".into());
    let error = Server::new(&url, Credentials::of(nowhere)).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
