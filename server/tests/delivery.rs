//! `resolve`, `fetch` and `serve` as a cluster runs them: one after the other, each in its own
//! container, with the cache between them.

#![allow(clippy::unwrap_used)]

mod tiny;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chandler_crds::ModelLock;
use chandler_crds::report::Report;
use chandler_e2e::stores::Store;
use tempfile::TempDir;

const SOURCE: &str = "s3://models/tiny";

struct Containers {
    folder: TempDir,
    store: Option<Store>,
    endpoint: String,
}

impl Containers {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let model = folder.path().join("models/tiny");
        fs::create_dir_all(&model).unwrap();
        fs::write(model.join(tiny::GGUF), tiny::llama().bytes()).unwrap();
        let models = folder.path().join("models");
        let store = Store::s3(&[("models", &models)], None).unwrap();
        let endpoint = format!("http://{}", store.address());
        Self {
            folder,
            store: Some(store),
            endpoint,
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("termination-log")
    }

    fn command(&self, name: &str, cache: &Path, lock: Option<&ModelLock>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chandler-server"));
        command
            .args([name, "--source", SOURCE, "--cache"])
            .arg(cache);
        command.arg("--termination-log").arg(self.log());
        command.env("AWS_ENDPOINT_URL", &self.endpoint);
        command.env("AWS_ALLOW_HTTP", "true");
        if let Some(lock) = lock {
            command.env("CHANDLER_LOCK", serde_json::to_string(lock).unwrap());
        }
        command
    }

    /// Runs a command to its end. Gives its exit code and its one line, which must stand in the
    /// termination log too.
    #[track_caller]
    fn run(&self, name: &str, cache: &str, lock: Option<&ModelLock>) -> (Option<i32>, Report) {
        let cache = self.folder.path().join(cache);
        let output: Output = self.command(name, &cache, lock).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.lines().count(), 1, "{told}");
        assert_eq!(fs::read_to_string(self.log()).unwrap(), told);
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("logs are JSON lines");
        }
        (output.status.code(), Report::parse(&told).unwrap())
    }
}

#[track_caller]
fn assert_failed((code, report): (Option<i32>, Report), expected: (i32, &str), words: &str) {
    let Report::Failed {
        reason,
        message,
        transient,
    } = report
    else {
        panic!("{report:?}");
    };
    assert_eq!(
        (code, reason.as_str()),
        (Some(expected.0), expected.1),
        "{message}"
    );
    assert_eq!(transient, expected.0 == 69, "{message}");
    assert!(message.contains(words), "{message}");
}

#[test]
fn what_is_resolved_is_fetched_and_served_without_the_store() {
    let mut containers = Containers::new();
    let (code, report) = containers.run("resolve", "job", None);
    let Report::Resolved { lock } = report else {
        panic!("{report:?}");
    };
    assert_eq!((code, lock.source.as_str()), (Some(0), SOURCE));
    let bytes = lock.total_size();
    // The second finds what the first has brought.
    for received in [bytes, 0] {
        let fetched = Report::Fetched {
            files: 1,
            bytes,
            received,
        };
        let told = containers.run("fetch", "pod", Some(&lock));
        assert_eq!(told, (Some(0), fetched));
    }

    containers.store = None;
    let cache = containers.folder.path().join("pod");
    let mut serve = containers.command("serve", &cache, Some(&lock));
    serve.args(["--served-name", "m", "--listen", "127.0.0.1:0"]);
    serve.args(["--task", "completion", "--exit-with-parent"]);
    let child = serve.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    serves_to_the_end(child.unwrap());
    assert_failed(
        containers.run("fetch", "other-pod", Some(&lock)),
        (69, "Unreachable"),
        SOURCE,
    );
}

/// Waits for a server to be ready, looks at how it got there, and ends it.
fn serves_to_the_end(mut child: std::process::Child) {
    let stdin = child.stdin.take();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let Some(Report::Listening { addr }) = Report::parse(&line) else {
        panic!("{line}");
    };
    let api = chandler_e2e::Api::new(&addr.to_string());
    let startup = loop {
        assert_eq!(child.try_wait().unwrap(), None, "it ended instead");
        match api.get("/startupz") {
            Ok(reply) if reply.status == 200 => break reply.json(),
            _ => std::thread::yield_now(),
        }
    };
    for phase in [
        "resolving",
        "downloading",
        "verifying",
        "loading",
        "warming",
    ] {
        assert!(startup["phases"][phase].is_number(), "{phase}: {startup}");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_goes_wrong_is_told_on_both_ways() {
    let mut containers = Containers::new();
    let missing = containers.run("fetch", "pod", None);
    assert_failed(missing, (65, "InvalidLock"), "CHANDLER_LOCK");
    let (_, report) = containers.run("resolve", "job", None);
    let Report::Resolved { mut lock } = report else {
        panic!("{report:?}");
    };
    lock.files[0].sha256 = "0".repeat(64);
    let other = containers.run("fetch", "pod", Some(&lock));
    assert_failed(other, (65, "HashMismatch"), &"0".repeat(64));
    containers.store = None;
    let gone = containers.run("resolve", "job", None);
    assert_failed(gone, (69, "Unreachable"), "refused");
}
