//! `chandler`: models served on this machine, the API, keys and rollouts of those served in a
//! cluster, simulations of how they scale, measurements of what a replica can do, and verdicts on
//! what a revision's answers are worth.

mod args;
mod bench;
mod cluster;
mod columns;
mod eval;
mod explain;
mod keys;
mod local;
mod manifest;
mod openai;
mod output;
mod plan;
mod rollout;
mod runner;
mod simulate;
mod up;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match args::Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli.command),
        Err(error) => {
            // Whoever closed standard error knows why.
            let _ = error.print();
            ExitCode::from(unparsed(&arguments, error.exit_code()))
        }
    }
}

/// The exit status of arguments that are no command, or that ask for help. clap's 2 would say of `eval`
/// that the canary failed.
fn unparsed(arguments: &[OsString], of_clap: i32) -> u8 {
    let is_eval = arguments.get(1).is_some_and(|command| command == "eval");
    match of_clap {
        0 => 0,
        _ if is_eval => eval::FAULT,
        other => u8::try_from(other).unwrap_or(eval::FAULT),
    }
}

fn run(command: args::Command) -> ExitCode {
    match command {
        args::Command::Up(up) => up::run(&up),
        args::Command::Bench(bench) => bench::run(&bench),
        args::Command::Eval(eval) => eval::run(&eval),
        args::Command::Judge(judge) => eval::run_judge(&judge),
        args::Command::Simulate(simulate) => simulate::run(&simulate),
        args::Command::Keys(keys) => keys::run(&keys),
        args::Command::Rollout(command) => rollout::run(&command),
        args::Command::Plan(plan) => plan::run(&plan),
        args::Command::Explain(explain) => explain::run(&explain),
        args::Command::Crd => crd(),
    }
}

fn crd() -> ExitCode {
    match chandler_crds::crd_yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_argument_is_no_verdict() {
        let status = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            let error = args::Cli::try_parse_from(&arguments).expect_err("no command");
            unparsed(&arguments, error.exit_code())
        };
        assert_eq!(status(&["chandler", "eval"]), 1);
        assert_eq!(status(&["chandler", "eval", "--help"]), 0);
        assert_eq!(status(&["chandler", "up"]), 2);
        assert_eq!(status(&["chandler"]), 2);
    }
}
