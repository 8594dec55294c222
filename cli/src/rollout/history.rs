//! The revisions that there are and have been.

use anyhow::Result;
use chandler_crds::status::RevisionStatus;
use jiff::Timestamp;

use super::model::Model;
use crate::args::ModelArgs;
use crate::columns;

const HEAD: [&str; 8] = [
    "REVISION", "PHASE", "WEIGHT", "READY", "AGE", "SOURCE", "COMMIT", "WHY",
];
/// Stands for what is not told.
const NONE: &str = "-";
/// Digits of a commit that are shown.
const COMMIT: usize = 12;

pub(super) async fn run(args: &ModelArgs) -> Result<String> {
    let status = Model::read(args).await?.status();
    Ok(text(&status.revisions, Timestamp::now()))
}

/// One revision a line below a head, oldest first.
pub(super) fn text(revisions: &[RevisionStatus], now: Timestamp) -> String {
    let head = HEAD.map(str::to_owned).to_vec();
    let rows = revisions.iter().map(|revision| cells(revision, now));
    columns::text(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}

fn cells(revision: &RevisionStatus, now: Timestamp) -> Vec<String> {
    let lock = revision.lock.as_ref();
    let source = revision.template.as_ref().map(|it| it.model.source.clone());
    let source = source.or_else(|| lock.map(|lock| lock.source.clone()));
    let commit = lock.and_then(|lock| lock.commit.as_ref());
    let commit = commit.map(|commit| commit.chars().take(COMMIT).collect());
    let why = match (&revision.rejected, &revision.failure) {
        (Some(end), _) => Some(format!("{}: {}", end.reason, end.message)),
        (None, Some(failure)) => Some(format!("{}: {}", failure.reason, failure.message)),
        (None, None) => None,
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    vec![
        revision.name.clone(),
        format!("{:?}", revision.phase),
        format!("{} %", revision.weight),
        format!("{}/{}", revision.ready_replicas, revision.replicas),
        age(revision.created_at.0, now),
        or_none(source),
        or_none(commit),
        why.unwrap_or_default(),
    ]
}

/// As kubectl tells ages, in the greatest unit alone.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn revisions_are_listed_with_what_became_of_them() {
        let revisions: Vec<RevisionStatus> = serde_json::from_value(json!([
            {
                "name": "aaaaaaaaaa", "phase": "Retired", "createdAt": "2026-01-01T00:00:00.000000Z",
                "template": {"model": {"source": "hf://org/name", "revision": "v1"}},
                "lock": {"source": "hf://org/name", "commit": "0123456789abcdef", "files": []},
            },
            {
                "name": "bbbbbbbbbb", "phase": "Failed", "createdAt": "2026-01-02T00:00:00.000000Z",
                "template": {"model": {"source": "hf://org/other"}},
                "rejected": {
                    "at": "2026-01-02T00:10:00.000000Z", "reason": "Aborted", "message": "by hand",
                },
            },
            {
                "name": "cccccccccc", "phase": "Serving", "weight": 100, "replicas": 2,
                "readyReplicas": 1, "createdAt": "2026-01-02T23:59:00.000000Z",
            },
        ]))
        .expect("revisions");
        let now = "2026-01-03T00:00:00Z".parse().expect("a time");
        let wanted = "\
REVISION    PHASE    WEIGHT  READY  AGE  SOURCE          COMMIT        WHY
aaaaaaaaaa  Retired  0 %     0/0    2d   hf://org/name   0123456789ab
bbbbbbbbbb  Failed   0 %     0/0    24h  hf://org/other  -             Aborted: by hand
cccccccccc  Serving  100 %   1/2    60s  -               -
";
        assert_eq!(text(&revisions, now), wanted);
    }
}
