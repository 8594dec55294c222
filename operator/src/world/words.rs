//! What a container's end and a registry's refusal come to in words.

use chandler_crds::names::containers;
use chandler_crds::report::Report;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, Volume};
use serde_json::Value;

/// Kubernetes' own word for a container that the kernel killed for its memory.
pub(super) const OUT_OF_MEMORY: &str = "OOMKilled";
/// A container that ended and did not say why in a report.
const ENDED: &str = "ContainerFailed";
/// Exit code of a worker that only a change can help.
const PERMANENT: i32 = 65;
/// Longest message, in characters: a condition is read in a terminal.
const LONGEST: usize = 1000;

/// What to do about a node without the folder of `cache.kind: node`.
const NO_FOLDER: &str = "the installation's node cache makes that folder on the nodes where it runs \
                         (nodeCache.enabled of the chart)";
/// What to do about a namespace in which `cache.kind: node` can't be had.
pub(super) const NO_HOST_PATH: &str = "has a PodSecurity level that forbids cache.kind `node`, a \
     hostPath: write `emptyDir` or `persistentVolumeClaim`";

/// What an end comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) transient: bool,
}

/// Why a container ended: by its report, else by its exit code and last words.
pub(super) fn of_end(name: &str, end: &ContainerStateTerminated, limit: Option<String>) -> Told {
    if end.reason.as_deref() == Some(OUT_OF_MEMORY) {
        return out_of_memory(name, limit);
    }
    let text = end.message.as_deref().unwrap_or_default();
    if let Some(Report::Failed {
        reason,
        message,
        transient,
    }) = Report::parse(text)
    {
        return Told {
            reason,
            message,
            transient,
        };
    }
    let code = end.exit_code;
    let how = match end.reason.as_deref() {
        Some(reason) if reason != "Error" => format!("exit code {code}, {reason}"),
        _ => format!("exit code {code}"),
    };
    let last = last_line(text).map_or_else(String::new, |line| format!(": {line}"));
    Told {
        reason: ENDED.to_owned(),
        message: format!("container {name} ended with {how}{last}"),
        transient: code != PERMANENT,
    }
}

fn out_of_memory(name: &str, limit: Option<String>) -> Told {
    let used = limit.as_ref().map_or_else(
        || "as its node ran out of memory".to_owned(),
        |limit| format!("for using more memory than its limit of {limit}"),
    );
    let advice = match (name, &limit) {
        (containers::RESOLVE, _) => "",
        (_, Some(_)) => ": raise spec.server.resources.limits.memory",
        (_, None) => ": set spec.server.resources.requests.memory to what the model needs",
    };
    Told {
        reason: OUT_OF_MEMORY.to_owned(),
        message: format!("container {name} was killed {used}{advice}"),
        transient: true,
    }
}

/// The memory limit of a container as its pod has it.
pub(super) fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let all = spec.init_containers.iter().flatten();
    let mut all = all.chain(&spec.containers);
    let found = all.find(|one| one.name == container)?;
    let limits = found.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory").map(|quantity| quantity.0.clone())
}

/// A registry's own words, without those that the kubelet puts before them in turns.
pub(super) fn of_registry(told: &str) -> &str {
    let told = told
        .split_once("ErrImagePull: ")
        .map_or(told, |(_, after)| after);
    if told.is_empty() {
        "the kubelet doesn't say why"
    } else {
        told
    }
}

/// What a pod mounts that someone else has to provide, and what to do where it is missing.
pub(super) fn mounted(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let volumes = || spec.volumes.iter().flatten();
    let mut needs: Vec<String> = volumes().filter_map(of_namespace).collect();
    let mut advice = Vec::new();
    if !needs.is_empty() {
        advice.push("create what is missing in the model's namespace");
    }
    if let Some(folder) = volumes().find_map(|volume| volume.host_path.as_ref()) {
        let node = spec.node_name.as_deref().unwrap_or_default();
        needs.push(format!("folder `{}` of node `{node}`", folder.path));
        advice.push(NO_FOLDER);
    }
    let whole = format!("{}: {}", needs.join(" and "), advice.join("; "));
    (!needs.is_empty()).then_some(whole)
}

fn of_namespace(volume: &Volume) -> Option<String> {
    let secret = volume.secret.as_ref();
    let secret = secret.and_then(|secret| secret.secret_name.as_ref());
    let claim = volume.persistent_volume_claim.as_ref();
    secret
        .map(|name| format!("Secret `{name}`"))
        .or_else(|| claim.map(|claim| format!("PersistentVolumeClaim `{}`", claim.claim_name)))
}

/// The last line of a log; of one in JSON, what it says.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(short(&spoken(line).unwrap_or_else(|| line.to_owned())))
}

/// The message of a log line in JSON, with its other fields.
fn spoken(line: &str) -> Option<String> {
    let whole: Value = serde_json::from_str(line).ok()?;
    let fields = whole.get("fields")?.as_object()?;
    let message = fields.get("message")?.as_str()?;
    let others = fields.iter().filter(|(key, _)| *key != "message");
    let others: Vec<String> = others
        .map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}={text}"),
            None => format!("{key}={value}"),
        })
        .collect();
    if others.is_empty() {
        return Some(message.to_owned());
    }
    Some(format!("{message} ({})", others.join(", ")))
}

/// A message of bearable length.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(exit_code: i32, reason: &str, message: &str) -> ContainerStateTerminated {
        ContainerStateTerminated {
            exit_code,
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            ..ContainerStateTerminated::default()
        }
    }

    #[test]
    fn a_report_among_log_lines_tells_the_reason() {
        let text = concat!(
            "{\"event\":\"failed\",\"reason\":\"HashMismatch\",\"message\":\"m.gguf differs\",\"transient\":false}\n",
            "{\"level\":\"ERROR\",\"fields\":{\"message\":\"cannot serve\"}}\n",
        );
        let told = of_end("server", &end(65, "Error", text), None);
        assert_eq!(told.reason, "HashMismatch");
        assert_eq!(told.message, "m.gguf differs");
        assert!(!told.transient);
    }

    #[test]
    fn without_a_report_the_exit_code_and_the_last_line_tell_it() {
        let log = "first\n{\"level\":\"ERROR\",\"fields\":{\"message\":\"panicked\",\"panic\":\"at x\"}}\n\n";
        let told = of_end("fetch", &end(101, "Error", log), None);
        assert_eq!(told.reason, ENDED);
        let message = "container fetch ended with exit code 101: panicked (panic=at x)";
        assert_eq!(told.message, message);
        assert!(told.transient);
        let told = of_end("fetch", &end(65, "Error", ""), None);
        assert_eq!(told.message, "container fetch ended with exit code 65");
        assert!(!told.transient);
    }

    #[test]
    fn a_kill_for_memory_names_the_limit_and_what_to_raise() {
        let killed = end(137, OUT_OF_MEMORY, "");
        let told = of_end("server", &killed, Some("512Mi".to_owned()));
        assert!(told.message.contains("limit of 512Mi"), "{}", told.message);
        assert!(told.message.ends_with("limits.memory"), "{}", told.message);
        let told = of_end("server", &killed, None);
        assert!(told.message.contains("requests.memory"), "{}", told.message);
        let told = of_end("resolve", &killed, Some("512Mi".to_owned()));
        assert!(!told.message.contains("spec."), "{}", told.message);
    }

    #[test]
    fn a_registry_is_quoted_alike_while_the_kubelet_backs_off() {
        let words = "failed to pull: not found";
        let waiting = format!("Back-off pulling image \"i\": ErrImagePull: {words}");
        assert_eq!(of_registry(words), of_registry(&waiting));
    }

    #[test]
    fn messages_are_cut_between_characters() {
        let long = "é".repeat(LONGEST + 1);
        assert_eq!(short(&long).chars().count(), LONGEST + 1);
        assert!(short(&long).ends_with('…'));
        assert_eq!(short("é"), "é");
    }
}
