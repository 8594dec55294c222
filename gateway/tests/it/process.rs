//! The program itself: it finds its cluster, tells where it listens, and ends as a pod should.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::accounts::{account, key};
use crate::api_server::ApiServer;
use crate::objects::{model, slice};
use crate::support::{Client, piece, read, soon};
use crate::upstream::{Streams, Upstream, one_event_each};

/// A running `chandler-gateway run`.
struct Process {
    child: Child,
    logs: Lines<BufReader<ChildStderr>>,
    access: Lines<BufReader<ChildStdout>>,
    door: Client,
    admin: Client,
    _kubeconfig: NamedTempFile,
}

impl Process {
    async fn start(api: &ApiServer, extra: &[&str]) -> Self {
        Self::logging(api, extra, "info,kube_client=off,kube_runtime=off").await
    }

    async fn logging(api: &ApiServer, extra: &[&str], filter: &str) -> Self {
        let kubeconfig = NamedTempFile::new().unwrap();
        let text = format!(
            "{{clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             users: [{{name: u, user: {{}}}}], current-context: c}}",
            api.addr
        );
        std::fs::write(kubeconfig.path(), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_chandler-gateway"))
            .args(["run", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0"])
            .args(extra)
            .env("KUBECONFIG", kubeconfig.path())
            .env("RUST_LOG", filter)
            .env_remove("POD_NAMESPACE")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let access = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut logs = BufReader::new(child.stderr.take().unwrap()).lines();
        let admin = listening(&mut logs, "health and metrics are open").await;
        let door = listening(&mut logs, "gateway is open").await;
        Self {
            child,
            logs,
            access,
            door: Client::of(door),
            admin: Client::of(admin),
            _kubeconfig: kubeconfig,
        }
    }

    fn signal(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }

    /// Waits until /readyz has this reason.
    async fn readiness(&self, reason: &str) -> StatusCode {
        let polled = async {
            loop {
                let answer = self.admin.get("/readyz").await;
                if answer.json()["reason"] == reason {
                    return answer.status;
                }
            }
        };
        soon(reason, polled).await
    }

    async fn end(mut self) -> ExitStatus {
        soon("the process's end", self.child.wait()).await.unwrap()
    }
}

/// The next line of the log with `message`; each line is JSON.
async fn logged(logs: &mut Lines<BufReader<ChildStderr>>, message: &str) -> Value {
    let found = async {
        loop {
            let line = logs.next_line().await.unwrap().expect("it ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["fields"]["message"] == message {
                return line;
            }
        }
    };
    soon(message, found).await
}

async fn listening(logs: &mut Lines<BufReader<ChildStderr>>, message: &str) -> SocketAddr {
    let line = logged(logs, message).await;
    line["fields"]["listen"].as_str().unwrap().parse().unwrap()
}

/// A cluster with one model of one replica, which streams what the test sends.
async fn cluster() -> (ApiServer, Upstream, Streams) {
    let (upstream, opened) = one_event_each().await;
    let api = ApiServer::start().await;
    api.put(&model("team", &[("r1", 100)]));
    api.put(&slice("team", "r1", &upstream));
    (api, upstream, opened)
}

const CHAT: &str = r#"{"model": "chat", "stream": true}"#;
const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn it_serves_and_on_the_signal_finishes_what_it_has() {
    let (api, _upstream, mut opened) = cluster().await;
    let mut process = Process::start(&api, &["--shutdown-delay-seconds", "0"]).await;
    assert_eq!(process.readiness("Serving").await, StatusCode::OK);
    assert_eq!(process.admin.get("/livez").await.status, StatusCode::OK);
    let metrics = process.admin.get("/metrics").await;
    assert!(metrics.text().contains("chandler_gateway_watch_connected"));
    assert_eq!(
        process.admin.get("/v1/models").await.status,
        StatusCode::NOT_FOUND
    );

    let mut response = process.door.begin(Method::POST, PATH, CHAT).await;
    assert!(piece(response.body_mut()).await.is_some());
    let pieces = soon("the stream", opened.recv()).await.unwrap();
    process.signal();
    let refused = async { while TcpStream::connect(process.door.addr).await.is_ok() {} };
    soon("a closed listener", refused).await;
    let draining = process.readiness("Draining").await;
    assert_eq!(draining, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(process.admin.get("/livez").await.status, StatusCode::OK);
    pieces.send("data: [DONE]\n\n").unwrap();
    drop(pieces);
    assert_eq!(read(response).await.text(), "data: [DONE]\n\n");
    // The admin port's requests are none of the access log.
    let line = soon("an access line", process.access.next_line()).await;
    let line: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
    assert_eq!(line["fields"]["model"], "chat");
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn between_the_signal_and_the_end_it_still_answers_and_a_second_signal_cuts() {
    let (api, _upstream, mut opened) = cluster().await;
    let process = Process::start(&api, &["--shutdown-delay-seconds", "3600"]).await;
    process.readiness("Serving").await;
    process.signal();
    let draining = process.readiness("Draining").await;
    assert_eq!(draining, StatusCode::SERVICE_UNAVAILABLE);
    let mut response = process.door.begin(Method::POST, PATH, CHAT).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["connection"], "close");
    assert!(piece(response.body_mut()).await.is_some());
    let _pieces = soon("the stream", opened.recv()).await.unwrap();
    process.signal();
    let rest = read(response).await;
    assert!(rest.text().contains("shutting_down"), "{}", rest.text());
    assert!(rest.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_lost_api_server_is_told_once_and_so_is_its_return() {
    let (mut api, _upstream, _opened) = cluster().await;
    let mut process = Process::start(&api, &[]).await;
    process.readiness("Serving").await;
    api.asked(&["/modeldeployments?", "watch=true"]).await;
    api.asked(&["/endpointslices?", "watch=true"]).await;
    api.stop().await;
    let lost = "the API server tells of no changes; requests go where they went last";
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let line = logged(&mut process.logs, lost).await;
        assert_eq!(line["level"], "WARN");
        kinds.push(line["fields"]["kind"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["endpointslices", "modeldeployments"]);
    api.begin().await;
    for _ in 0..2 {
        // Whatever else were told in between would be another loss.
        let line = soon("a line", process.logs.next_line()).await.unwrap();
        assert!(line.unwrap().contains("the API server is back"));
    }
}

#[tokio::test]
async fn the_log_tells_of_an_open_door_and_never_a_key() {
    let (upstream, api) = (Upstream::named("a").await, ApiServer::start().await);
    api.put(&model("team", &[("r1", 100)]));
    api.put(&slice("team", "r1", &upstream));
    let secret = account("holder").to_secret(Some("system"));
    api.put(&secret);
    let args = [
        "--keys-namespace",
        "system",
        "--shutdown-delay-seconds",
        "0",
    ];
    let mut process = Process::logging(&api, &args, "trace").await;
    let (mut logs, mut told) = (process.logs, String::new());
    let mut access = process.access;
    tokio::spawn(async move { while let Ok(Some(_)) = access.next_line().await {} });
    let reading = tokio::spawn(async move {
        while let Some(line) = logs.next_line().await.unwrap() {
            told += &line;
        }
        told
    });
    let becomes = async |name: &str, status: StatusCode| {
        let answer = || async {
            let request = Request::post(format!("http://{}{PATH}", process.door.addr))
                .header("authorization", format!("Bearer {}", key(name)))
                .body(Full::from(CHAT))
                .unwrap();
            read(process.door.request(request).await).await.status
        };
        soon(name, async { while answer().await != status {} }).await;
    };
    becomes("holder", StatusCode::OK).await;
    becomes("stranger", StatusCode::UNAUTHORIZED).await;
    api.delete(&secret);
    becomes("stranger", StatusCode::OK).await;
    let pid = i32::try_from(process.child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    soon("the process's end", process.child.wait())
        .await
        .unwrap();
    let told = soon("the log's end", reading).await.unwrap();
    assert!(told.contains("no API key is configured"));
    assert!(told.contains("one is needed from now on") || told.contains("API keys were read"));
    for name in ["holder", "stranger"] {
        assert!(!told.contains(&key(name)), "{name}'s key is in the log");
    }
}

#[tokio::test]
async fn without_a_cluster_it_ends_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chandler-gateway"))
        .args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("KUBECONFIG", folder.path().join("none"))
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output();
    let output = soon("the process's end", output).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let logs = String::from_utf8(output.stderr).unwrap();
    let last: Value = serde_json::from_str(logs.lines().last().unwrap()).unwrap();
    assert_eq!(last["fields"]["reason"], "NoCluster");
    assert!(
        last["fields"]["message"]
            .as_str()
            .unwrap()
            .contains("KUBECONFIG")
    );
}
