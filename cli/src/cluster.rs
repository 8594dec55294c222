//! The way to a cluster, as kubectl finds it.

use std::process::ExitCode;

use anyhow::{Context, Error, Result, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::{ClusterArgs, ModelArgs};

/// Runs a command that tells of a cluster: prints what it tells, or why it can't.
pub(crate) fn tell(command: impl Future<Output = Result<String>>) -> ExitCode {
    let told = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(command));
    match told {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A client of the cluster that the arguments name, or else the surroundings do.
pub(crate) async fn connect(args: &ClusterArgs) -> Result<Client> {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = config(args).await;
    let config = config.context("no cluster: give --kubeconfig, or set KUBECONFIG")?;
    Client::try_from(config).context("cannot make a client for the API server")
}

/// That there is no such model.
pub(crate) fn no_model(args: &ModelArgs) -> Error {
    anyhow!(
        "{} has no model {}: `kubectl get mdl -A` tells those that there are",
        args.namespace,
        args.model
    )
}

async fn config(args: &ClusterArgs) -> Result<Config> {
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(path) = &args.kubeconfig {
        let file = Kubeconfig::read_from(path)?;
        return Ok(Config::from_custom_kubeconfig(file, &options).await?);
    }
    if options.context.is_some() {
        return Ok(Config::from_kubeconfig(&options).await?);
    }
    Ok(Config::infer().await?)
}
