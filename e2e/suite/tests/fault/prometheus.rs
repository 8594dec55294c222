//! An operator that has what replicas measure from a Prometheus server: the count follows the load,
//! and stays as it is while the server is away.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use chandler_e2e_suite::operator::{self, Outside};
use chandler_e2e_suite::{Follows, Space, alone_in_space, decisions, ready_count};
use tempfile::TempDir;
use tokio::process::{Child, Command};

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
    alone_in_space("recorded", async |space| {
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
    let model = Follows::new(space, "m", Follows::UP_TO_TWO).await?;
    let load = model.load(Follows::MANY);
    model.wait_count(2).await?;
    model.wait_follows().await?;
    prometheus.stop().await?;
    load.stop().await.assert_all_answered();

    let words = format!(
        "the Prometheus server at {} can't be reached",
        prometheus.url()
    );
    let blind = model.wait_blind(&words).await?;
    ensure!(
        ready_count(&blind) == Some(2),
        "the count is not what it was: {:?}",
        blind.status
    );
    ensure!(decisions(&blind)? == [(1, 2)], "{:?}", decisions(&blind));

    prometheus.start()?;
    let load = model.load(1);
    let sees = model.wait_follows().await?;
    ensure!(
        decisions(&sees)? == [(1, 2)],
        "it shrank while it was blind"
    );
    let fallen = model.wait_count(1).await?;
    load.stop().await.assert_all_answered();
    ensure!(
        decisions(&fallen)? == [(1, 2), (2, 1)],
        "{:?}",
        decisions(&fallen)
    );
    Ok(())
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
