//! The operators: which leads, and one outside of the installation that a test can make fail.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use chandler_crds::names::env;
use chandler_e2e::layout;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::wait::none_left;
use crate::{Fault, PATIENCE, SYSTEM, credentials, eventually, kill, kubectl, until};

/// Exit code of an operator that a failpoint ended.
const FAILPOINT_EXIT: i32 = 70;
/// Name of the operator's Deployment and of its Lease.
const OPERATOR: &str = "chandler-operator";
const PODS: &str = "app.kubernetes.io/component=operator";
const WAIT: &str = "--timeout=300s";
/// What the one outside calls itself; each takes the lease of the one before it at once, as a
/// container that starts again does.
const NAME: &str = "outside";

/// Who holds the lease.
///
/// # Errors
/// Nobody does for long.
pub async fn leader(client: &Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    eventually("led", async || {
        let lease = leases.get(OPERATOR).await.ok()?;
        let holder = lease.spec?.holder_identity?;
        (!holder.is_empty()).then_some(holder)
    })
    .await
}

/// Ends the one that leads with no warning, and waits until another leads.
///
/// # Errors
/// It does not come to that.
pub async fn kill_leader(client: &Client) -> Result<()> {
    let before = leader(client).await?;
    let pods = Api::namespaced(client.clone(), SYSTEM);
    kill(&pods, SYSTEM, &before).await?;
    let other = async || (leader(client).await.ok()? != before).then_some(());
    eventually("led by another", other).await
}

/// Waits until the one that leads last renewed its lease at such a time, by its own clock.
///
/// # Errors
/// It does not come to that.
pub async fn wait_renewed(client: &Client, at: impl Fn(Timestamp) -> bool) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    let renewed = |lease: &Lease| lease.spec.as_ref()?.renew_time.as_ref().map(|it| it.0);
    until(&leases, OPERATOR, "renewed then", |lease| {
        renewed(lease).is_some_and(&at)
    })
    .await
    .map(drop)
}

/// The operator as it is installed, to be run outside of the cluster with the same arguments and
/// the same rights.
#[derive(Debug)]
pub struct Outside {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    credentials: PathBuf,
}

/// One that runs.
#[derive(Debug)]
pub struct Running(Child);

/// Takes the installation's own pods away. They are back when the fault ends.
///
/// # Errors
/// They do not go.
pub async fn none_installed(client: &Client) -> Result<Fault> {
    let scale = |count: i32| {
        let (deployment, count) = (deployment(), format!("--replicas={count}"));
        kubectl(&["scale", "-n", SYSTEM, &deployment, &count]).map(drop)
    };
    let count = installed(client).await?.spec.replicas.unwrap_or(1);
    let away = Fault::begin(
        || scale(0),
        move || {
            scale(count)?;
            kubectl(&["rollout", "status", "-n", SYSTEM, &deployment(), WAIT]).map(drop)
        },
    )?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let operators = ListParams::default().labels(PODS);
    none_left(&pods, &operators).await?;
    Ok(away)
}

async fn installed(client: &Client) -> Result<Deployment> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    Ok(deployments.get(OPERATOR).await?)
}

fn deployment() -> String {
    format!("deployment/{OPERATOR}")
}

impl Outside {
    /// Of what is installed.
    ///
    /// # Errors
    /// Nothing is.
    pub async fn of_installed(client: &Client) -> Result<Self> {
        let pod = installed(client).await?.spec.template.spec;
        let pod = pod.context("the operator's Deployment has a pod")?;
        let container = pod.containers.into_iter().next().context("a container")?;
        let account = pod.service_account_name.context("an account")?;
        Ok(Self {
            variables: variables(&container),
            arguments: container.args.unwrap_or_default(),
            credentials: credentials::of(SYSTEM, &account)?,
        })
    }

    /// The same with one argument more.
    #[must_use]
    pub fn with(mut self, argument: String) -> Self {
        self.arguments.push(argument);
        self
    }

    /// The same with one variable more.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: String) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// Starts it; one with a boundary, such as `after:SetTraffic`, ends itself there.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(&self, failpoint: Option<&str>) -> Result<Running> {
        let mut command = Command::new(layout::binary(OPERATOR)?);
        let arguments = self.arguments.iter().map(|text| self.expanded(text));
        // Its own port may be taken here.
        command.args(arguments.filter(|text| !text.starts_with("--listen=")));
        command.arg("--listen=127.0.0.1:0").envs(&self.variables);
        command.env("KUBECONFIG", &self.credentials);
        command.env("RUST_LOG", "warn");
        command.env(env::POD_NAME, NAME);
        command.env(env::POD_NAMESPACE, SYSTEM);
        command.envs(failpoint.map(|boundary| (env::FAILPOINT, boundary)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(Running(command.spawn().context("can't start an operator")?))
    }

    /// An argument with its `$(NAME)`s replaced, as the kubelet does it.
    fn expanded(&self, argument: &str) -> String {
        let variables = self.variables.iter();
        variables.fold(argument.to_owned(), |text, (name, value)| {
            text.replace(&format!("$({name})"), value)
        })
    }
}

fn variables(container: &Container) -> BTreeMap<String, String> {
    let all = container.env.iter().flatten();
    all.filter_map(|it| Some((it.name.clone(), it.value.clone()?)))
        .collect()
}

impl Running {
    /// Waits until its failpoint has ended it.
    ///
    /// # Errors
    /// It ends otherwise, or not at all.
    pub async fn wait_failpoint(self) -> Result<()> {
        let code = self.ended().await?;
        ensure!(
            code == Some(FAILPOINT_EXIT),
            "the operator ended with {code:?}"
        );
        Ok(())
    }

    /// Ends it as a kubelet does, by which it hands its lease over.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn stop(self) -> Result<()> {
        let pid = self.0.id().context("the operator has ended before")?;
        let told = Command::new("kill").arg(pid.to_string()).status().await?;
        ensure!(told.success(), "the operator could not be told to stop");
        let code = self.ended().await?;
        ensure!(code == Some(0), "the operator ended with {code:?}");
        Ok(())
    }

    async fn ended(mut self) -> Result<Option<i32>> {
        let ended = timeout(PATIENCE, self.0.wait()).await;
        let ended = ended.context("the operator does not end")?;
        Ok(ended?.code())
    }
}
