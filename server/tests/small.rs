//! A server in 512 MiB, for real: more is asked of it than it can hold, and it refuses rather than die.
//!
//! It takes the right to make control groups, as the tests on a cluster do.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use chandler_e2e::process::{Process, wait_until};
use chandler_e2e::{Api, PATIENCE, Reply, layout};
use serde_json::{Value, json};

const LIMIT: u64 = 512 << 20;
/// As long as fits, so that nothing is to spare.
const CONTEXT: &str = "6000";
const CLIENTS: usize = 40;
/// Words of a prompt, about a token each.
const PROMPT: usize = 600;

/// A control group of its own, with a limit; gone when it is dropped.
struct Group {
    folder: PathBuf,
    is_first: bool,
}

impl Group {
    fn new() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let is_first = root.join("memory/memory.limit_in_bytes").exists();
        let name = format!("chandler-small-{}", std::process::id());
        let (parent, limit) = match is_first {
            true => (root.join("memory"), "memory.limit_in_bytes"),
            false => (root.to_owned(), "memory.max"),
        };
        let folder = parent.join(name);
        let made = fs::create_dir(&folder);
        made.unwrap_or_else(|e| {
            panic!("this test needs a control group: {}: {e}", folder.display())
        });
        let group = Self { folder, is_first };
        fs::write(group.folder.join(limit), LIMIT.to_string()).unwrap();
        group
    }

    /// How many of its processes were killed for want of memory.
    fn killed(&self) -> u64 {
        let name = match self.is_first {
            true => "memory.oom_control",
            false => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(name)).unwrap();
        let mut counts = text
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "));
        counts.next().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It stays for a moment after its last process.
        let gone = || fs::remove_dir(&self.folder).is_ok();
        if wait_until("the group to be empty", PATIENCE, gone).is_err() {
            eprintln!("{} stays", self.folder.display());
        }
    }
}

/// Starts a server in the group, and waits until it is ready.
fn serve(group: &Group) -> (Process, Api) {
    let model = layout::model(layout::CHAT_MODEL).unwrap();
    let mut command = Command::new("sh");
    // In the group before it has taken anything.
    command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]);
    command.arg(group.folder.join("cgroup.procs"));
    command.arg(env!("CARGO_BIN_EXE_chandler-server"));
    command.args(["serve", "--served-name", "m", "--listen", "127.0.0.1:0"]);
    command.args(["--source", &layout::file_source(&model)]);
    command.args(["--max-model-len", CONTEXT, "--max-queue-tokens", "4000"]);
    let process = Process::start(&mut command).unwrap();
    let address = process
        .output()
        .wait_events("its address", PATIENCE, |events| {
            let mut told = events.iter().filter(|event| event["event"] == "listening");
            told.find_map(|event| event["addr"].as_str().map(str::to_owned))
        });
    let api = Api::new(&address.unwrap());
    let ready = || api.get("/readyz").is_ok_and(|reply| reply.status == 200);
    let waited = wait_until("the model to load", PATIENCE, ready);
    waited.unwrap_or_else(|e| panic!("{e}: {}", process.output().text()));
    (process, api)
}

fn ask(api: &Api, prompt: &Value) -> Reply {
    let body = json!({"model": "m", "prompt": prompt, "max_tokens": 2, "temperature": 0});
    api.post("/v1/completions", &body).unwrap()
}

#[test]
fn in_512_mib_requests_are_refused_and_nothing_is_killed() {
    let group = Group::new();
    let (mut process, api) = serve(&group);
    let replies: Vec<(bool, Reply)> = thread::scope(|scope| {
        let asked: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let api = &api;
                scope.spawn(move || {
                    // Every fifth sends as much as a body may have where memory is no question.
                    let is_huge = client % 5 == 0;
                    let prompt = match is_huge {
                        true if client % 2 == 0 => json!("words and ".repeat(400_000)),
                        true => json!(vec![1; 2_000_000]),
                        false => json!(format!("{client} {}", "rain ".repeat(PROMPT))),
                    };
                    (is_huge, ask(api, &prompt))
                })
            })
            .collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (is_huge, reply) in &replies {
        let code = reply.json()["error"]["code"].as_str().map(str::to_owned);
        let is_fine = match (reply.status, code.as_deref()) {
            (200, None) => !is_huge,
            (429, Some("queue_full" | "memory_low")) => true,
            (413, Some("request_too_large")) => *is_huge,
            _ => false,
        };
        assert!(is_fine, "{is_huge} {}: {}", reply.status, reply.text);
    }
    let count = |status| replies.iter().filter(|(_, it)| it.status == status).count();
    assert!(
        count(200) > 0 && count(429) > 0,
        "{} {}",
        count(200),
        count(429)
    );
    // It lives, and answers as before.
    assert_eq!(ask(&api, &json!("Hello")).status, 200);
    assert_eq!(group.killed(), 0);
    process.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(process.wait(PATIENCE).unwrap().success());
}
