//! What a replica can do, measured of one alone or beside neighbours.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chandler_e2e::Server;
use chandler_e2e::process::Process;
use chandler_sim::traffic::ReplicaModel;

use super::asked::{repeated, write_csv};
use super::{Case, THREADS, bench, bench_command};

/// How many times over neighbours are asked their trace: a measurement may take longer than a replay.
const TURNS: u32 = 20;

/// A replica model that was fitted.
pub(super) struct Fitted {
    pub(super) path: PathBuf,
    pub(super) model: ReplicaModel,
    /// Requests a second of the mix that one replica does at most.
    pub(super) saturation: f64,
    /// Longest request in tokens, if the model tells one.
    pub(super) longest: Option<u32>,
}

/// A replica on the same machine that is asked too, until it is dropped.
struct Neighbour {
    _server: Server,
    _caller: Process,
}

impl Case<'_> {
    /// Measures one replica alone.
    pub(super) fn fit_alone(&self) -> Result<Fitted> {
        println!("one replica of {} alone", self.sample().name());
        self.fit()
    }

    /// Measures one beside so many, each of which is asked that share of what one `alone` can do.
    pub(super) fn fit_beside(&self, alone: &Fitted, count: u32, load: f64) -> Result<Fitted> {
        let name = self.sample().name();
        println!("one replica of {name} beside {count} at {load}");
        let neighbours = (1..=count).map(|number| self.neighbour(alone, number, load));
        let _neighbours: Vec<_> = neighbours.collect::<Result<_>>()?;
        self.fit()
    }

    fn neighbour(&self, alone: &Fitted, number: u32, load: f64) -> Result<Neighbour> {
        let server = self.server()?;
        let path = self.folder.join(format!("neighbour-{number}.csv"));
        let trace = self.asked.trace(alone, load, u64::from(number));
        write_csv(&path, &repeated(&trace, TURNS))?;
        let mut caller = bench_command()?;
        caller.args([server.api().base(), "--trace"]).arg(path);
        caller.arg("--replica-model").arg(&alone.path);
        Ok(Neighbour {
            _caller: Process::start(&mut caller)?,
            _server: server,
        })
    }

    fn server(&self) -> Result<Server> {
        Server::start(&self.sample().source()?, self.sample().name(), THREADS)
    }

    fn fit(&self) -> Result<Fitted> {
        let name = self.sample().name();
        let server = self.server()?;
        let path = self.folder.join(format!("{name}.yaml"));
        let step = format!("{}s", self.options.fit_seconds);
        let (prompt, generated) = (
            self.asked.mix.0.to_string(),
            self.asked.mix.1.max(4).to_string(),
        );
        let told = bench(&[
            server.api().base(),
            "--step",
            &step,
            "--prompt-tokens",
            &prompt,
            "--generated-tokens",
            &generated,
            "--out",
            &path.display().to_string(),
        ])?;
        server.stop()?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        println!("{text}");
        let saturation = told["measured"]["saturation"].as_f64();
        Ok(Fitted {
            model: ReplicaModel::parse(&text)?,
            path,
            saturation: saturation.context("no saturation was told")?,
            longest: told["longest"]
                .as_u64()
                .and_then(|it| u32::try_from(it).ok()),
        })
    }
}
