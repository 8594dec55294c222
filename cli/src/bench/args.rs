//! What `chandler bench` is told.

use std::path::PathBuf;
use std::time::Duration;

use chandler_crds::names::env;
use clap::Args;
use reqwest::Url;

use crate::args::{address, factor, some_length};

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Base address of one replica, such as http://127.0.0.1:8000. A gateway's will do to replay a
    /// trace with a replica model that is there.
    #[arg(value_parser = address)]
    pub(crate) url: Url,

    /// Name of the model, as callers use it. Default: the only one that is served.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// API key.
    #[arg(long, value_name = "KEY", env = env::API_KEY, hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// Tokens of a prompt, in the mean.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..))]
    pub(crate) prompt_tokens: u32,

    /// Tokens of an answer, in the mean, where the model writes any.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(4..))]
    pub(crate) generated_tokens: u32,

    /// Length of each step of the measurement.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_length)]
    pub(crate) step: Duration,

    /// Most callers at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_callers: u32,

    /// Seed of all chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write the replica model there, for `chandler simulate --replica-model`. Default: print it.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// One JSON object on stdout, instead of tables.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) given: GivenArgs,

    #[command(flatten)]
    pub(crate) replay: ReplayArgs,
}

/// What a replica model has and no measurement from outside tells.
#[derive(Debug, Args)]
pub(crate) struct GivenArgs {
    /// Seconds of starts that were seen, by commas. Default: what the replica tells of its own start.
    #[arg(long, value_name = "SECONDS", value_delimiter = ',', value_parser = seconds)]
    pub(crate) start_seconds: Vec<f64>,

    /// Seconds that a replica which goes has to finish what it has [default: 120].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) drain_seconds: Option<f64>,

    /// Most requests that wait in a replica [default: 256].
    #[arg(long, value_name = "N")]
    pub(crate) max_queue: Option<u32>,

    /// Most sequences that a replica computes together. Default: as many as were seen.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_batch: Option<u32>,

    /// Most tokens that a replica computes in a step [default: 2048; 16384 for vectors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) max_step_tokens: Option<u32>,
}

/// A trace that is asked for in earnest, and simulated.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens: ask what it asked, when it
    /// did, and tell what `chandler simulate` predicts of that.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Times the trace's requests a second.
    #[arg(long, value_name = "X", default_value = "1", value_parser = factor, requires = "trace")]
    pub(crate) scale: f64,

    /// Replay the trace's first minutes alone.
    #[arg(long = "for", value_name = "TIME", value_parser = some_length, requires = "trace")]
    pub(crate) length: Option<Duration>,

    /// Predict with this replica model, and measure none.
    #[arg(long, value_name = "FILE", requires = "trace", conflicts_with = "out")]
    pub(crate) replica_model: Option<PathBuf>,

    /// How many replicas there are behind the address.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000), requires = "trace")]
    pub(crate) replicas: u32,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|it: &f64| (0.0..=1e6).contains(it));
    seconds.ok_or_else(|| "write seconds as a number, such as 60 or 1.5".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Cli, Command};

    fn parse(further: &[&str]) -> Result<super::BenchArgs, String> {
        let all = ["chandler", "bench"].iter().chain(further);
        match Cli::try_parse_from(all) {
            Ok(cli) => match cli.command {
                Command::Bench(args) => Ok(*args),
                other => panic!("{other:?}"),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn arguments_are_read() {
        let args = parse(&[
            "http://h:1/x",
            "--trace",
            "t.csv",
            "--for",
            "5m",
            "--start-seconds",
            "5,6.5",
        ]);
        let args = args.expect("arguments");
        assert_eq!(args.url.path(), "/x");
        assert_eq!(args.replay.length.map(|it| it.as_secs()), Some(300));
        assert_eq!(args.given.start_seconds, [5.0, 6.5]);
    }

    #[test]
    fn wrong_arguments_say_what_to_write() {
        for (further, words) in [
            (&[][..], "required"),
            (&["here"], "write the base address of a server"),
            (&["ftp://h/"], "such as http://127.0.0.1:8000"),
            (&["http://h:1", "--step", "1ms"], "from 100ms to 24h"),
            (&["http://h:1", "--step", "soon"], "write a length of time"),
            (&["http://h:1", "--scale", "2"], "--trace"),
            (&["http://h:1", "--replica-model", "m.yaml"], "--trace"),
            (
                &["http://h:1", "--start-seconds", "60,soon"],
                "write seconds as a number",
            ),
            (&["http://h:1", "--prompt-tokens", "0"], "8.."),
        ] {
            let told = parse(further).expect_err(words);
            assert!(told.contains(words), "{told}");
        }
    }
}
