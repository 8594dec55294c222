//! `chandler up`: manifests in, one address out, until told to stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, io};

use anyhow::{Context, Result, bail};
use chandler_core::validate::{ModelKey, validate};
use chandler_crds::ModelDeployment;
use chandler_gateway::accounts::KeysFile;
use chandler_gateway::{Gateway, GatewayConfig};
use chandler_source::{Access, Cache};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::args::UpArgs;
use crate::local::{Config, Local};
use crate::manifest;
use crate::output::{Event, Events, print_all};
use crate::runner::{self, Wanted};
use crate::watch::Manifests;

/// Exit code for what the user can mend, as clap's own.
const USAGE: u8 = 2;

pub(crate) fn run(args: &UpArgs) -> ExitCode {
    let manifests = match manifest::read(&args.files, &args.sources) {
        Ok(manifests) => manifests,
        Err(faults) => {
            for fault in faults {
                eprintln!("error: {fault}");
            }
            return ExitCode::from(USAGE);
        }
    };
    match serve(args, manifests) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &UpArgs, manifests: manifest::Manifests) -> Result<()> {
    // Events tell what happens; the log is for what has no event.
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "error".into()),
        )
        .init();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let (events, shown) = unbounded_channel();
    let json = args.json;
    let printer = std::thread::spawn(move || print_all(shown, json));
    let served = runtime.block_on(up(args, manifests, events));
    // Tasks that hold a sender end with the runtime, and the printer with them.
    drop(runtime);
    let printed = printer.join();
    served?;
    if printed.is_err() {
        bail!("the output broke off");
    }
    Ok(())
}

async fn up(args: &UpArgs, first: manifest::Manifests, events: Events) -> Result<()> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let listener = listen(args).await?;
    let mut manifests = Manifests::watch(&args.files).context("cannot watch the manifests")?;
    let config = Config {
        server: server_program(args)?,
        cache: args
            .cache
            .clone()
            .map_or_else(Cache::from_env_or_default, Cache::new),
        cache_dir: args.cache.clone(),
        access: Access::from_env(),
    };
    let gateway = Gateway::new(gateway_config(&first.objects))
        .context("cannot set up the gateway's metrics")?;
    if let Some(path) = &args.keys_file {
        let keys = KeysFile::open(path, &gateway).await?;
        tokio::spawn(keys.follow());
    }
    let local = Local::new(config, gateway.clone(), events.clone());
    tokio::spawn(Arc::clone(&local).follow_demand());
    tokio::spawn(Arc::clone(&local).follow_load());
    let mut models = Models {
        local: Arc::clone(&local),
        events: events.clone(),
        running: BTreeMap::new(),
    };
    models.apply(first);

    let _ = events.send(Event::Gateway {
        listen: listener.local_addr()?,
    });
    let (close, closed) = oneshot::channel::<()>();
    let door = tokio::spawn(chandler_gateway::serve(listener, gateway, async {
        // A dropped sender closes the door as well.
        let _ = closed.await;
    }));
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = manifests.changed() => models.edited(args),
        }
    }
    let _ = events.send(Event::Stopping);
    let _ = close.send(());
    stop(&models, &local, door, &mut signals).await;
    let _ = events.send(Event::Stopped);
    Ok(())
}

/// Lets requests in flight finish, then the replicas; a second signal ends both at once.
async fn stop(
    models: &Models,
    local: &Arc<Local>,
    door: JoinHandle<io::Result<()>>,
    signals: &mut Signals,
) {
    let abort = door.abort_handle();
    let drained = async {
        // The door ends by its own deadline; how is of no matter any more.
        let _ = door.await;
        models.halt();
        local.stop_all().await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => return,
            () = signals.next() => {
                abort.abort();
                local.stop_now();
            }
        }
    }
}

async fn listen(args: &UpArgs) -> Result<TcpListener> {
    match TcpListener::bind(args.listen).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "{} is in use: stop what listens there, or give another address with --listen (port 0 takes a free one)",
            args.listen
        ),
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot listen on {}; give another address with --listen",
                args.listen
            )
        }),
    }
}

fn server_program(args: &UpArgs) -> Result<PathBuf> {
    if let Some(path) = &args.server {
        if !path.is_file() {
            bail!("--server {}: there is no such program", path.display());
        }
        return Ok(path.clone());
    }
    let beside = env::current_exe()
        .context("cannot tell where this program is")?
        .with_file_name("chandler-server");
    if !beside.is_file() {
        bail!(
            "{} is missing: build it, or give its path with --server",
            beside.display()
        );
    }
    Ok(beside)
}

/// The door waits as long as the most patient model.
fn gateway_config(objects: &[ModelDeployment]) -> GatewayConfig {
    let drains = objects
        .iter()
        .filter_map(|object| validate(object).ok())
        .map(|spec| spec.worker.drain());
    let defaults = GatewayConfig::default();
    GatewayConfig {
        drain_deadline: drains.max().unwrap_or(defaults.drain_deadline),
        ..defaults
    }
}

/// The models that run, and what each shall be.
struct Models {
    local: Arc<Local>,
    events: Events,
    running: BTreeMap<ModelKey, Running>,
}

struct Running {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Models {
    fn edited(&mut self, args: &UpArgs) {
        match manifest::read(&args.files, &args.sources) {
            Ok(manifests) => self.apply(manifests),
            Err(faults) => {
                for fault in faults {
                    let message = format!("{fault}; what serves goes on as it was");
                    let _ = self.events.send(Event::Fault { message });
                }
            }
        }
    }

    /// Makes the running models those of `objects`.
    fn apply(&mut self, manifests: manifest::Manifests) {
        self.local.set_suites(manifests.suites);
        let mut objects: BTreeMap<ModelKey, ModelDeployment> = manifests
            .objects
            .into_iter()
            .map(|object| (ModelKey::from(&object), object))
            .collect();
        self.running
            .retain(|_, running| !running.task.is_finished());
        for (key, running) in &self.running {
            let new = objects.remove(key);
            running
                .wanted
                .send_if_modified(|wanted| replace(wanted, new));
        }
        for (key, mut object) in objects {
            object.metadata.generation = Some(1);
            let (wanted, receiver) = watch::channel(Some(object));
            let run = runner::run(
                Arc::clone(&self.local),
                key.clone(),
                receiver,
                self.events.clone(),
            );
            self.running.insert(
                key,
                Running {
                    wanted,
                    task: tokio::spawn(run),
                },
            );
        }
    }

    /// Ends the runners: nothing is decided any more.
    fn halt(&self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}

/// Puts a new wish in the place of the old; a changed spec is a new generation, as in a cluster.
fn replace(wanted: &mut Wanted, new: Wanted) -> bool {
    let new = new.map(|mut object| {
        let before = wanted.as_ref();
        let generation = before
            .and_then(|before| before.metadata.generation)
            .unwrap_or(0);
        let same = before.is_some_and(|before| before.spec == object.spec);
        object.metadata.generation = Some(if same { generation } else { generation + 1 });
        object
    });
    let changed = *wanted != new;
    *wanted = new;
    changed
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
