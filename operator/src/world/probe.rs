//! Asking a revision for its first answer, and how long its replica took until then.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chandler_crds::names::{containers, labels, paths, ports};
use chandler_crds::status::StartupTimes;
use chandler_probe::first_answer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use serde_json::Value;

use super::ClusterModel;
use super::error::WorldError;
use super::failure::{condition_of, created, youngest_first};
use super::observe::serves;
use super::perform::stale;

/// Time for a server to tell how it started.
const STARTUP_TIME: Duration = Duration::from_secs(5);

impl ClusterModel {
    pub(super) async fn ask(&self, revision: &str) -> Result<StartupTimes, WorldError> {
        let name = self.wanting(revision)?.served_name;
        let (pod, address) = self.ready_replica(revision).await?;
        let took = first_answer(&self.probe, address, &name).await;
        let took = took.map_err(|failure| WorldError::Worker {
            reason: failure.reason,
            message: failure.message,
            transient: failure.transient,
        })?;
        // Times are told as far as they are known; an answer without them is an answer.
        let phases = self.probe.get(address, paths::STARTUP, STARTUP_TIME).await;
        let phases = phases.map(|(_, body)| body).unwrap_or_default();
        Ok(startup(&pod, &phases, took))
    }

    /// The youngest ready replica of a revision, and where it is asked.
    pub(super) async fn ready_replica(
        &self,
        revision: &str,
    ) -> Result<(Pod, SocketAddr), WorldError> {
        let selector = self.owner.pods(revision, labels::SERVER);
        let pods: Vec<Pod> = self.cluster.list(&selector).await?;
        let mut ready: Vec<&Pod> = pods.iter().filter(|pod| serves(pod)).collect();
        youngest_first(&mut ready);
        let mut found = ready.into_iter();
        let found = found.find_map(|pod| Some((pod.clone(), address(pod)?)));
        found.ok_or_else(|| {
            stale(format!(
                "no replica of revision {revision} is ready any more"
            ))
        })
    }
}

pub(super) fn address(pod: &Pod) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, ports::HTTP))
}

/// The steps of a pod's start. Kubernetes tells its own to the second.
fn startup(pod: &Pod, told: &Value, answered: Duration) -> StartupTimes {
    let scheduled = condition_of(pod, "PodScheduled")
        .filter(|one| one.status == "True")
        .and_then(|one| one.last_transition_time.as_ref())
        .map(|time| time.0);
    let fetch = container(pod, containers::FETCH).and_then(last_end);
    let fetch =
        fetch.and_then(|end| Some((end.started_at.as_ref()?.0, end.finished_at.as_ref()?.0)));
    let first = fetch.map(|(started, _)| started).or_else(|| {
        let state = container(pod, containers::SERVER)?.state.as_ref()?;
        Some(state.running.as_ref()?.started_at.as_ref()?.0)
    });
    let phase = |name: &str| phase_ms(told, name);
    let load = [phase("verifying"), phase("loading")];
    StartupTimes {
        schedule_ms: scheduled.and_then(|at| between(created(pod), at)),
        pull_ms: scheduled.and_then(|at| between(at, first?)),
        fetch_ms: match fetch {
            Some((started, finished)) => between(started, finished),
            None => phase("downloading"),
        },
        load_ms: load.into_iter().flatten().reduce(u64::saturating_add),
        warm_up_ms: phase("warming"),
        first_answer_ms: Some(millis(answered)),
    }
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    all.find(|container| container.name == name)
}

fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn between(from: Timestamp, until: Timestamp) -> Option<u64> {
    u64::try_from(until.duration_since(from).as_millis()).ok()
}

/// How long a phase took, of those that the server tells in seconds.
fn phase_ms(told: &Value, name: &str) -> Option<u64> {
    let seconds = told.get("phases")?.get(name)?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok().map(millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(yaml: &str) -> Pod {
        serde_yaml::from_str(yaml).expect("a pod")
    }

    const POD: &str = "
metadata: {creationTimestamp: '2026-01-01T00:00:00Z'}
status:
  podIP: 10.0.0.7
  conditions:
  - {type: PodScheduled, status: 'True', lastTransitionTime: '2026-01-01T00:00:02Z'}
  initContainerStatuses:
  - name: fetch
    image: i
    imageID: i
    ready: true
    restartCount: 0
    state: {terminated: {exitCode: 0, startedAt: '2026-01-01T00:00:07Z', finishedAt: '2026-01-01T00:00:27Z'}}
  containerStatuses:
  - name: server
    image: i
    imageID: i
    ready: true
    restartCount: 0
    state: {running: {startedAt: '2026-01-01T00:00:28Z'}}
";

    #[test]
    fn each_step_is_told_from_where_it_is_known() {
        let told =
            serde_json::json!({"phases": {"verifying": 0.5, "loading": 2.0, "warming": 0.25}});
        let times = startup(&pod(POD), &told, Duration::from_millis(40));
        let expected = StartupTimes {
            schedule_ms: Some(2000),
            pull_ms: Some(5000),
            fetch_ms: Some(20_000),
            load_ms: Some(2500),
            warm_up_ms: Some(250),
            first_answer_ms: Some(40),
        };
        assert_eq!(times, expected);
    }

    #[test]
    fn without_a_container_that_fetches_the_server_tells_of_its_download() {
        let mut pod = pod(POD);
        pod.status
            .as_mut()
            .expect("has one")
            .init_container_statuses = None;
        let told = serde_json::json!({"phases": {"downloading": 3.0}});
        let times = startup(&pod, &told, Duration::ZERO);
        assert_eq!(times.pull_ms, Some(26_000));
        assert_eq!(times.fetch_ms, Some(3000));
        assert_eq!(times.load_ms, None);
    }

    #[test]
    fn absurd_times_are_left_out() {
        let told = serde_json::json!({"phases": {"loading": -1.0, "warming": "long"}});
        let times = startup(&Pod::default(), &told, Duration::ZERO);
        assert_eq!(times.load_ms, None);
        assert_eq!(times.warm_up_ms, None);
        assert_eq!(times.schedule_ms, None);
    }

    #[test]
    fn addresses_of_both_families_are_asked() {
        let mut pod = pod(POD);
        assert_eq!(address(&pod), Some(([10, 0, 0, 7], 8000).into()));
        pod.status.as_mut().expect("has one").pod_ip = Some("fd00::7".to_owned());
        assert!(address(&pod).is_some_and(|address| address.is_ipv6()));
    }
}
