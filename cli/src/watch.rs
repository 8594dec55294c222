//! Tells when a manifest may have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Editors write in several steps; this much quiet ends one edit.
const QUIET: Duration = Duration::from_millis(150);

/// Watches the manifests' folders: an editor that replaces a file gives it a new inode, which a
/// watch on the file itself would lose.
pub(crate) struct Manifests {
    _watcher: Option<RecommendedWatcher>,
    events: UnboundedReceiver<()>,
}

impl Manifests {
    /// # Errors
    /// The system gives no more watches.
    pub(crate) fn watch(files: &[PathBuf]) -> notify::Result<Self> {
        let (sender, events) = unbounded_channel();
        let names: BTreeSet<_> = files
            .iter()
            .filter_map(|path| path.file_name().map(ToOwned::to_owned))
            .collect();
        let on_event = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let ours = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
            if !event.kind.is_access() && event.paths.iter().any(ours) {
                // Nobody listens any more when this program ends.
                let _ = sender.send(());
            }
        };
        if files.is_empty() {
            return Ok(Self {
                _watcher: None,
                events,
            });
        }
        let mut watcher = notify::recommended_watcher(on_event)?;
        let folders: BTreeSet<&Path> = files.iter().map(|path| folder(path)).collect();
        for folder in folders {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        Ok(Self {
            _watcher: Some(watcher),
            events,
        })
    }

    /// Completes after an edit, once it has come to rest. Never, if nothing is watched.
    pub(crate) async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while timeout(QUIET, self.events.recv())
            .await
            .is_ok_and(|event| event.is_some())
        {}
    }
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
