//! An operator that has what replicas measure from a Prometheus server: the count follows the load,
//! and stays as it is while the server is away.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_e2e_suite::operator::{self, Outside};
use chandler_e2e_suite::{EMBEDDINGS, Load, Space, condition, eventually, in_space, until};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Callers who ask again as soon as they are answered.
const MANY: usize = 8;

/// What docs/autoscaling.md tells people to write, for one namespace and the tests' haste.
const CONFIG: &str = r#"
global: {scrape_interval: 5s}
scrape_configs:
  - job_name: chandler-models
    kubernetes_sd_configs:
      - {role: pod, kubeconfig_file: "@KUBECONFIG@", namespaces: {names: ["@NAMESPACE@"]}}
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_component, __meta_kubernetes_pod_container_port_name]
        regex: server;http
        action: keep
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
"#;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn replicas_follow_what_prometheus_scraped() {
    in_space("recorded", async |space| {
        let mut prometheus = Prometheus::of(&space)?;
        prometheus.start()?;
        let operators = Outside::of_installed(&space.client).await?;
        let operators = operators.with(format!("--metrics=prometheus={}", prometheus.url()));
        let away = operator::none_installed(&space.client).await?;
        let running = operators.start(None)?;
        follow(&space, &mut prometheus).await?;
        running.stop().await?;
        away.end()
    })
    .await;
}

async fn follow(space: &Space, prometheus: &mut Prometheus) -> Result<()> {
    let served = space.name.as_str();
    let spec = format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, \
         autoscaling: {{maxReplicas: 2, targets: {{concurrency: 2}}, \
         behavior: {{scaleDown: {{stabilization: 10s}}}}}}}}"
    );
    space.apply_model("m", &spec).await?;
    space.wait_ready("m").await?;
    let gateway = space.gateway().await?;
    eventually("known", async || gateway.embed(served).await.ok()).await?;

    let load = Load::start(&gateway, served, MANY);
    until(&space.models(), "m", "two replicas", |model| has(model, 2)).await?;
    told(space, "Following", "follows the load").await?;
    prometheus.stop().await?;
    load.stop().await.assert_all_answered();

    let words = format!(
        "the Prometheus server at {} can't be reached",
        prometheus.url()
    );
    let blind = told(space, "LoadUnknown", &words).await?;
    ensure!(
        has(&blind, 2),
        "the count is not what it was: {:?}",
        blind.status
    );
    ensure!(decisions(&blind)? == [(1, 2)], "{:?}", decisions(&blind));

    prometheus.start()?;
    let load = Load::start(&gateway, served, 1);
    let sees = told(space, "Following", "follows the load").await?;
    ensure!(
        decisions(&sees)? == [(1, 2)],
        "it shrank while it was blind"
    );
    let fallen = until(&space.models(), "m", "one replica", |model| has(model, 1)).await?;
    load.stop().await.assert_all_answered();
    ensure!(
        decisions(&fallen)? == [(1, 2), (2, 1)],
        "{:?}",
        decisions(&fallen)
    );
    Ok(())
}

async fn told(space: &Space, reason: &str, words: &str) -> Result<ModelDeployment> {
    let kind = ConditionType::ScalingActive;
    let model = space.wait_told("m", kind, reason, &[words]).await?;
    let status = condition(&model, kind).map(|it| it.status.as_str());
    let expected = if reason == "Following" {
        "True"
    } else {
        "False"
    };
    ensure!(status == Some(expected), "{status:?}");
    Ok(model)
}

fn has(model: &ModelDeployment, replicas: i32) -> bool {
    let status = model.status.as_ref();
    status.is_some_and(|it| it.replicas == Some(replicas) && it.ready_replicas == Some(replicas))
}

/// The changes of the count.
fn decisions(model: &ModelDeployment) -> Result<Vec<(i32, i32)>> {
    let scaling = model.status.as_ref().and_then(|it| it.scaling.as_ref());
    let decisions = &scaling.context("nothing is told of scaling")?.decisions;
    Ok(decisions.iter().map(|it| (it.from, it.to)).collect())
}

/// A server that scrapes the replicas of one namespace.
struct Prometheus {
    /// Its settings and its data.
    folder: TempDir,
    address: String,
    running: Option<Child>,
}

impl Prometheus {
    fn of(space: &Space) -> Result<Self> {
        let kubeconfig = std::env::var("KUBECONFIG").context("no cluster's credentials")?;
        let config = CONFIG.replace("@KUBECONFIG@", &kubeconfig);
        let config = config.replace("@NAMESPACE@", &space.name);
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("prometheus.yaml"), config)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            folder,
            address: format!("127.0.0.1:{port}"),
            running: None,
        })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) -> Result<()> {
        let mut command = Command::new("prometheus");
        let (config, data) = (self.file("prometheus.yaml"), self.file("data"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={}", self.address))
            .args(["--log.level=warn"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let running = command.spawn().context("can't start prometheus")?;
        self.running = Some(running);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("it does not run")?;
        running.kill().await.context("it does not end")
    }
}
