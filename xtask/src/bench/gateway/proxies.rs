//! The gateway, HAProxy and nginx, each as a process of its own before the same replicas.

use super::api_server::ApiServer;
use super::key::{self, Key};
use super::question::{self, Stream};
use super::replicas::Replica;
use super::{THREADS, load, objects};
use crate::bench::proc;
use crate::{debian, shell};
use anyhow::{Context, Result, bail};
use chandler_e2e::process::{Process, runs, wait_until};
use chandler_e2e::{PATIENCE, layout};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where configurations go, below the repository's root.
const FOLDER: &str = "target/bench/gateway";

/// How long a proxy may take to end.
const END: Duration = Duration::from_secs(30);

/// A proxy that answers. It ends with this.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) addr: SocketAddr,
    process: Process,
}

impl Proxy {
    /// Waits until it answers a request through a replica.
    fn ready(
        name: &'static str,
        version: String,
        addr: SocketAddr,
        process: Process,
        request: &[u8],
    ) -> Result<Self> {
        let told = || format!("{name} wrote:\n{}", process.output().text());
        let mut ended = false;
        wait_until("the proxy to answer", PATIENCE, || {
            ended = !runs(process.pid());
            ended || load::answers(addr, request)
        })
        .with_context(told)?;
        if ended {
            bail!("{name} ended; {}", told());
        }
        Ok(Self {
            name,
            version,
            addr,
            process,
        })
    }

    /// How long it and its children have computed, also in the kernel.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let pid = self.process.pid();
        let mut seconds = None;
        for entry in fs::read_dir("/proc")?.flatten() {
            // Most have nothing to do with it, and some end meanwhile.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let own = entry.file_name().to_str() == Some(&pid.to_string());
            if own || proc::parent(&stat) == Some(pid) {
                let spent = proc::cpu_seconds(&stat).unwrap_or(0.0);
                seconds = Some(seconds.unwrap_or(0.0) + spent);
            }
        }
        seconds.with_context(|| format!("{} has ended", self.name))
    }

    /// The most memory that it ever occupied, in MiB.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn peak_mib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
        let kib = proc::size(&status, "VmHWM").with_context(|| format!("no VmHWM in {path}"))?;
        #[allow(clippy::cast_precision_loss)]
        Ok(kib as f64 / 1024.0)
    }

    /// `program run`, following an API server that knows one model and these replicas.
    pub(super) fn gateway(program: &Path, api: &ApiServer, replicas: &[Replica]) -> Result<Self> {
        objects::put_model(api, replicas, None);
        Self::following(program, api, &[], &question::short(0))
    }

    /// The same before a model of one replica of so many slots, for the holders of keys alone.
    pub(super) fn gateway_with_keys(
        program: &Path,
        api: &ApiServer,
        replica: Replica,
        slots: usize,
        keys: &[Key],
    ) -> Result<Self> {
        objects::put_model(api, &[replica], Some(slots));
        let file = folder()?.join("keys.yaml");
        fs::write(&file, key::secrets(keys)?)?;
        let key = keys.first().context("no key")?;
        let at_once = Stream {
            tokens: 1,
            interval: Duration::ZERO,
        };
        let arguments = ["--keys-file".into(), file.into()];
        Self::following(
            program,
            api,
            &arguments,
            &question::timed(&key.text(), at_once),
        )
    }

    /// Started with more arguments, and answering `request`.
    fn following(
        program: &Path,
        api: &ApiServer,
        arguments: &[OsString],
        request: &[u8],
    ) -> Result<Self> {
        let kubeconfig = folder()?.join("kubeconfig");
        let text = format!(
            "{{clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             users: [{{name: u, user: {{}}}}], current-context: c}}",
            api.addr
        );
        fs::write(&kubeconfig, text)?;
        let any = "127.0.0.1:0";
        let mut command = tied(program);
        command
            .args(["run", "--listen", any, "--admin-listen", any])
            .args(["--threads", &THREADS.to_string()])
            // The peers write none either.
            .args(["--access-log", "off"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env_remove("RUST_LOG");
        let process = Process::start(&mut command)?;
        let line = process.output().wait_line("gateway is open", PATIENCE)?;
        let line: Value = serde_json::from_str(&line)?;
        let addr = line["fields"]["listen"]
            .as_str()
            .and_then(|l| l.parse().ok());
        let addr = addr.context("the gateway tells no address")?;
        Self::ready("gateway", String::new(), addr, process, request)
    }

    /// HAProxy, which keeps connections to replicas open and shares them between callers.
    pub(super) fn haproxy(replicas: &[Replica]) -> Result<Self> {
        let addr = free_address()?;
        let mut servers = String::new();
        for Replica { number, addr } in replicas {
            servers += &format!("    server r{number} {addr}\n");
        }
        let text = format!(
            "global\n    nbthread {THREADS}\n    maxconn 8192\n\
             defaults\n    mode http\n    http-reuse always\n    timeout connect 2s\n    \
             timeout client 600s\n    timeout server 600s\n\
             frontend callers\n    bind {addr}\n    default_backend replicas\n\
             backend replicas\n    balance leastconn\n{servers}"
        );
        let file = folder()?.join("haproxy.cfg");
        fs::write(&file, text)?;
        let program = debian::find("haproxy").context("no haproxy")?;
        let told = shell::capture(Command::new(&program).arg("-v"))?;
        // "HAProxy version 2.6.12-1+deb12u1 2023/12/16 - …"
        let version = told.split_whitespace().nth(2).unwrap_or_default();
        let mut command = tied(&program);
        command.arg("-db").arg("-f").arg(file);
        let process = Process::start(&mut command)?;
        let version = format!("HAProxy {version}");
        Self::ready("haproxy", version, addr, process, &question::short(0))
    }

    /// nginx, which keeps connections to replicas open, some for each worker.
    pub(super) fn nginx(replicas: &[Replica]) -> Result<Self> {
        let addr = free_address()?;
        let mut servers = String::new();
        for Replica { addr, .. } in replicas {
            servers += &format!("        server {addr};\n");
        }
        let text = NGINX
            .replace("{threads}", &THREADS.to_string())
            .replace("{listen}", &addr.to_string())
            .replace("{servers}", &servers);
        let prefix = folder()?.join("nginx");
        fs::create_dir_all(&prefix)?;
        fs::write(prefix.join("nginx.conf"), text)?;
        let program = debian::find("nginx").context("no nginx")?;
        let mut command = tied(&program);
        command.arg("-p").arg(&prefix);
        command.args(["-c", "nginx.conf", "-e", "stderr"]);
        let process = Process::start(&mut command)?;
        let version = nginx_version(&program)?;
        Self::ready("nginx", version, addr, process, &question::short(0))
    }
}

impl Drop for Proxy {
    /// nginx ends its workers when it is asked to end, and not when it is killed.
    fn drop(&mut self) {
        if self.process.signal(Signal::SIGTERM).is_ok() && self.name == "nginx" {
            let _ = self.process.wait(END);
        }
    }
}

/// A program that is asked to end when this one has ended, however that was.
fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// It tells that on standard error, as `nginx version: nginx/1.22.1`.
fn nginx_version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("-v").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let (_, version) = text.rsplit_once('/').context("nginx tells no version")?;
    Ok(format!("nginx {}", version.trim()))
}

/// Without a line for its own log, and with nothing outside its folder.
const NGINX: &str = "\
daemon off;
worker_processes {threads};
pid nginx.pid;
events {
    worker_connections 8192;
}
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream replicas {
        least_conn;
{servers}
        keepalive 64;
        keepalive_requests 100000000;
    }
    server {
        listen {listen};
        location / {
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }
    }
}
";

fn folder() -> Result<PathBuf> {
    let folder = layout::root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    Ok(folder)
}

/// An address for a program that can't take a free one by itself.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
