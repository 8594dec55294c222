//! Pods: one that serves a revision, and one that resolves its source.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use chandler_core::worker::WorkerSpec;
use chandler_crds::names::{containers, env, labels, mounts, ports};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::job::Question;
use super::{Blueprint, labels as render_labels, security, volumes};

/// Seconds from the order to stop until the server hears of it. Callers learn of a pod that goes
/// by a chain of watches (EndpointSlice controller, gateway, kube-proxy), each of which gathers
/// changes for up to a second; five bring it through on a busy machine, and until then the server
/// answers as before.
const BEFORE_STOP: u64 = 5;
/// Seconds beyond the drain in which the server ends what is left in good form.
const AFTER_DRAIN: u64 = 10;
/// Seconds that a model may take to be fetched and loaded before its container starts again.
const STARTUP_LIMIT: i32 = 3600;
/// Seconds between looks at a server that loads.
const STARTUP_PERIOD: i32 = 2;
/// Resources that a container which fetches shares with the one that serves. It takes no device:
/// the pod's request would not grow by one, but runtimes prepare each for nothing.
const PLAIN_RESOURCES: &[&str] = &["cpu", "memory", "ephemeral-storage"];

impl Blueprint<'_> {
    /// The pod that serves `revision`.
    pub(super) fn server_pod(&self, revision: &str, worker: &WorkerSpec) -> PodTemplateSpec {
        let grace = worker.drain.as_secs() + BEFORE_STOP + AFTER_DRAIN;
        let spec = PodSpec {
            init_containers: self.fetcher(worker).map(|fetch| vec![fetch]),
            containers: vec![self.server(worker)],
            volumes: Some(volumes::of_server(&self.object.spec.model, self.site)),
            termination_grace_period_seconds: Some(signed(grace)),
            topology_spread_constraints: Some(vec![self.spread(revision)]),
            ..self.pod_base()
        };
        self.template(revision, labels::SERVER, spec)
    }

    /// The pod that resolves the source of `revision`.
    pub(super) fn resolver_pod(&self, revision: &str, question: &Question<'_>) -> PodTemplateSpec {
        let mut args = vec!["resolve".to_owned()];
        args.extend(source_args(question.source, question.source_revision));
        args.extend(file_args());
        let container = Container {
            args: Some(args),
            resources: Some(small()),
            ..self.container(containers::RESOLVE, &BTreeMap::new())
        };
        let spec = PodSpec {
            containers: vec![container],
            volumes: Some(volumes::of_resolver(&self.object.spec.model, self.site)),
            // It ends by itself and a Job counts its failures.
            restart_policy: Some("Never".to_owned()),
            ..self.pod_base()
        };
        self.template(revision, labels::RESOLVER, spec)
    }

    pub(super) fn template(
        &self,
        revision: &str,
        component: &str,
        spec: PodSpec,
    ) -> PodTemplateSpec {
        PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(render_labels::of_revision(self.name(), revision, component)),
                ..ObjectMeta::default()
            }),
            spec: Some(spec),
        }
    }

    /// What every pod of the model has: where it may run, and as whom.
    fn pod_base(&self) -> PodSpec {
        let server = self.object.spec.server.clone().unwrap_or_default();
        PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(security::of_pod()),
            node_selector: server.node_selector,
            tolerations: server.tolerations,
            priority_class_name: server.priority_class_name,
            runtime_class_name: server.runtime_class_name,
            service_account_name: server.service_account_name,
            ..PodSpec::default()
        }
    }

    fn container(&self, name: &str, own_env: &BTreeMap<String, String>) -> Container {
        let model = &self.object.spec.model;
        Container {
            name: name.to_owned(),
            image: self.image(),
            env: self.environment(own_env),
            volume_mounts: Some(volumes::volume_mounts(model)),
            security_context: Some(security::of_container()),
            // A worker that is killed leaves no last words of its own.
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Container::default()
        }
    }

    /// The site's variables, and over them the worker's own.
    fn environment(&self, own: &BTreeMap<String, String>) -> Option<Vec<EnvVar>> {
        let mut all = self.site.worker_env.clone();
        all.extend(own.clone());
        all.extend(volumes::environment(&self.object.spec.model));
        let list: Vec<EnvVar> = all
            .into_iter()
            .map(|(name, value)| EnvVar {
                name,
                value: Some(value),
                value_from: None,
            })
            .collect();
        (!list.is_empty()).then_some(list)
    }

    fn server(&self, worker: &WorkerSpec) -> Container {
        let mut args = worker.args.clone();
        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ports::HTTP));
        args.extend(["--listen".to_owned(), listen.to_string()]);
        args.extend(file_args());
        Container {
            args: Some(args),
            ports: Some(vec![ContainerPort {
                name: Some(ports::HTTP_NAME.to_owned()),
                container_port: i32::from(ports::HTTP),
                protocol: Some("TCP".to_owned()),
                ..ContainerPort::default()
            }]),
            resources: worker
                .resources
                .as_ref()
                .map(|wanted| ResourceRequirements {
                    limits: wanted.limits.clone(),
                    requests: wanted.requests.clone(),
                    claims: None,
                }),
            startup_probe: Some(Probe {
                period_seconds: Some(STARTUP_PERIOD),
                failure_threshold: Some(STARTUP_LIMIT / STARTUP_PERIOD),
                timeout_seconds: Some(5),
                ..ask(worker.startup)
            }),
            // Each second: what is ready late serves late, and what is not ready still gets
            // requests. Three in a row, since one slow answer on a busy node is no outage.
            readiness_probe: Some(Probe {
                period_seconds: Some(1),
                failure_threshold: Some(3),
                timeout_seconds: Some(3),
                ..ask(worker.readiness)
            }),
            // The server itself tells an engine that stands still; a restart costs a load.
            liveness_probe: Some(Probe {
                period_seconds: Some(10),
                failure_threshold: Some(6),
                timeout_seconds: Some(5),
                ..ask(worker.liveness)
            }),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    sleep: Some(SleepAction {
                        seconds: signed(BEFORE_STOP),
                    }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
            ..self.container(containers::SERVER, &worker.env)
        }
    }

    /// Brings the files before the server starts, so that a failed download is told as one. What
    /// lies on a claim is not brought anywhere; to verify it here would only read it twice.
    fn fetcher(&self, worker: &WorkerSpec) -> Option<Container> {
        let model = &self.object.spec.model;
        if volumes::claim_of(&model.source).is_some() {
            return None;
        }
        let mut args = vec!["fetch".to_owned()];
        args.extend(source_args(&model.source, model.revision.as_deref()));
        args.extend(file_args());
        let lock = worker.env.get(env::LOCK).cloned().unwrap_or_default();
        let own = BTreeMap::from([(env::LOCK.to_owned(), lock)]);
        Some(Container {
            args: Some(args),
            resources: worker
                .resources
                .as_ref()
                .map(|wanted| ResourceRequirements {
                    limits: wanted.limits.as_ref().map(plain),
                    requests: wanted.requests.as_ref().map(plain),
                    claims: None,
                }),
            ..self.container(containers::FETCH, &own)
        })
    }

    /// On different nodes where that is possible: a node that goes takes few replicas with it.
    fn spread(&self, revision: &str) -> TopologySpreadConstraint {
        TopologySpreadConstraint {
            max_skew: 1,
            topology_key: labels::HOSTNAME.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(render_labels::replica_selector(self.name(), revision)),
            ..TopologySpreadConstraint::default()
        }
    }
}

fn source_args(source: &str, revision: Option<&str>) -> Vec<String> {
    let mut args = vec!["--source".to_owned(), source.to_owned()];
    if let Some(revision) = revision {
        args.extend(["--revision".to_owned(), revision.to_owned()]);
    }
    args
}

/// Where a worker keeps files and leaves its last words.
fn file_args() -> [String; 4] {
    [
        "--cache",
        mounts::MODELS,
        "--termination-log",
        mounts::TERMINATION_LOG,
    ]
    .map(str::to_owned)
}

fn ask(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ports::HTTP_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

fn plain(all: &BTreeMap<String, Quantity>) -> BTreeMap<String, Quantity> {
    let mut plain = all.clone();
    plain.retain(|name, _| PLAIN_RESOURCES.contains(&name.as_str()));
    plain
}

/// Ample for listing and hashing files, and written out for namespaces with quotas.
pub(super) fn small() -> ResourceRequirements {
    let of = |cpu: &str, memory: &str| {
        Some(BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(memory.to_owned())),
        ]))
    };
    ResourceRequirements {
        requests: of("50m", "64Mi"),
        limits: of("2", "512Mi"),
        claims: None,
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
