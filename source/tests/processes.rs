//! Processes that share a cache. The test program starts itself as those processes, which is
//! why it has a `main` of its own.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the faults that only the other tests need")]
mod support;

use std::path::Path;
use std::process::{ExitCode, Stdio};

use chandler_source::{Access, Cache, Hub, Source, fetch, resolve};
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Fault, SOURCE, TestHub, WEIGHTS, sha256};
use tokio::process::{Child, Command};

const CHILD: &str = "--child";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, endpoint, cache] = args.as_slice()
        && flag == CHILD
    {
        return run(child(endpoint, cache));
    }
    let trial = |name, test: fn() -> ExitCode| {
        Trial::test(name, move || match test() {
            ExitCode::SUCCESS => Ok(()),
            _ => Err(Failed::without_message()),
        })
    };
    let trials = vec![
        trial("two_processes_download_each_file_once", || run(once())),
        trial("a_killed_process_is_resumed_by_the_one_that_waits", || {
            run(takes_over())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(work: impl Future<Output = ()>) -> ExitCode {
    // Far beyond what any of this takes: ends a test whose condition can't come true any more.
    let patience = std::time::Duration::from_secs(120);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(patience, work).await });
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// What each process does.
async fn child(endpoint: &str, cache: &str) {
    let access = Access::from(Hub {
        endpoint: endpoint.to_owned(),
        token: None,
    });
    let cache = Cache::new(cache.into());
    let source = Source::parse(SOURCE).unwrap();
    let lock = resolve(&source, None, &access, &cache).await.unwrap();
    let model = fetch(&lock, &source, &access, &cache, &|_| ())
        .await
        .unwrap();
    let weights = std::fs::read(model.root.join(WEIGHTS)).unwrap();
    println!("{}", sha256(&weights));
}

fn start(hub: &TestHub, cache: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([CHILD, &hub.hub.endpoint])
        .arg(cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits for a process to end well, with the right weights.
async fn assert_ends_well(child: Child, hub: &TestHub) {
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.trim(), sha256(&hub.content(WEIGHTS)));
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn once() {
    let hub = TestHub::start().await;
    let folder = tempfile::tempdir().unwrap();
    hub.spoil(WEIGHTS, [Fault::Hold(2 << 20)]);
    let (one, two) = (start(&hub, folder.path()), start(&hub, folder.path()));
    until(|| hub.listings() == 2 && !hub.requests(WEIGHTS).is_empty()).await;
    hub.release();
    assert_ends_well(one, &hub).await;
    assert_ends_well(two, &hub).await;
    let counts = hub.counts();
    assert_eq!(counts.len(), 4, "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

async fn takes_over() {
    let hub = TestHub::start().await;
    let folder = tempfile::tempdir().unwrap();
    hub.spoil(WEIGHTS, [Fault::Hold(3 << 20)]);
    let mut one = start(&hub, folder.path());
    let name = format!("{}.partial", sha256(&hub.content(WEIGHTS)));
    let partial = folder.path().join("blobs/sha256").join(name);
    until(|| partial.metadata().is_ok_and(|data| data.len() >= 2 << 20)).await;
    let two = start(&hub, folder.path());
    until(|| hub.listings() == 2).await;
    one.kill().await.unwrap();
    assert_ends_well(two, &hub).await;
    let requests = hub.requests(WEIGHTS);
    assert_eq!(requests.len(), 2);
    let range = requests[1].range.as_deref().unwrap_or_default();
    let start: u64 = range
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap();
    assert!(start >= 2 << 20, "{range}");
}
