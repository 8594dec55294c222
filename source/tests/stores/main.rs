//! Resolving and fetching from real stores on loopback: an S3 service, an OCI registry and a web
//! server with TLS. The test program starts itself again with `SSL_CERT_FILE` naming its own
//! authority, as a system's certificates would be given, which is why it has a `main`.

#![allow(clippy::unwrap_used)]

mod bucket;
mod cached;
mod claim;
mod proxy;
mod registry;
mod setup;
mod tls;
mod web;
mod web_server;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the folder of the test's own authority, in the process that runs the tests.
const AUTHORITY: &str = "STORES_TEST_AUTHORITY";

/// One test: its name and what it does.
type Case = (&'static str, fn() -> ExitCode);

/// Names tests after their functions.
macro_rules! cases {
    ($($module:ident::$name:ident),+ $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($name)), || {
            run($module::$name())
        })),+]
    };
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, lock, cache] = args.as_slice()
        && flag == cached::CHILD
    {
        return run(cached::child(lock.clone(), cache.clone()));
    }
    match std::env::var_os(AUTHORITY) {
        Some(_) => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
        None => start_again(&args),
    }
}

fn start_again(args: &[String]) -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let certificates = tls::make_authority(folder.path());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(args)
        .env(AUTHORITY, folder.path())
        .env("SSL_CERT_FILE", certificates)
        .env_remove("SSL_CERT_DIR")
        .status()
        .unwrap();
    match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn trials() -> Vec<Trial> {
    let cases: Vec<Case> = cases![
        bucket::a_model_is_locked_and_fetched,
        bucket::wrong_credentials_are_told_without_them,
        bucket::what_is_not_there_is_named,
        bucket::a_pin_holds,
        bucket::an_interrupted_download_is_resumed,
        bucket::an_object_replaced_since_it_was_locked_is_refused,
        bucket::an_object_replaced_while_it_is_read_is_no_mixture,
        bucket::an_endpoint_without_tls_must_be_allowed,
        registry::an_artifact_is_locked_and_fetched,
        registry::wrong_credentials_are_told_without_them,
        registry::what_is_not_there_is_named,
        registry::a_lock_outlives_the_move_of_its_tag,
        registry::an_interrupted_download_is_resumed,
        registry::other_bytes_than_were_locked_are_refused,
        web::one_file_is_locked_and_fetched,
        web::safetensors_come_with_what_lies_beside_them,
        web::wrong_credentials_are_told_without_them,
        web::what_is_not_there_is_named,
        web::an_interrupted_download_is_resumed,
        web::a_file_without_a_version_is_read_from_the_start,
        web::a_file_replaced_since_it_was_locked_is_refused,
        web::a_file_replaced_while_it_is_read_is_no_mixture,
        web::an_unknown_authority_is_not_trusted,
        claim::a_mounted_claim_is_used_in_place,
        cached::a_whole_model_is_read_from_a_read_only_cache,
        cached::everybody_may_read_the_cache,
    ];
    let trial = |(name, test): Case| {
        Trial::test(name, move || match test() {
            ExitCode::SUCCESS => Ok(()),
            _ => Err(Failed::from("it did not end in time")),
        })
    };
    cases.into_iter().map(trial).collect()
}

fn run(work: impl Future<Output = ()>) -> ExitCode {
    // Far beyond what any of this takes: ends a test whose condition can't come true any more.
    let patience = std::time::Duration::from_secs(240);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(patience, work).await });
    ended.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
