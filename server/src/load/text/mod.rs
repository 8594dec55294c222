//! Loads models that write text: their tokenizer, their chat template and their decoder.

mod folder;
mod gguf;

pub(super) use folder::load as from_folder;
pub(super) use gguf::load as from_gguf;

use super::{LoadError, Task};

// Tokens that end a turn in known chat formats; files often name only one as the end of text.
const END_TEXTS: [&str; 7] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
];

fn check_task(task: Task, has_template: bool) -> Result<(), LoadError> {
    let (problem, can) = match (task, has_template) {
        (Task::Auto | Task::Completion, _) | (Task::Chat, true) => return Ok(()),
        (Task::Chat, false) => ("it has no chat template", vec![Task::Completion]),
        (Task::Embedding | Task::Classification, true) => {
            ("it is a decoder", vec![Task::Chat, Task::Completion])
        }
        (Task::Embedding | Task::Classification, false) => {
            ("it is a decoder", vec![Task::Completion])
        }
    };
    Err(LoadError::TaskMismatch {
        asked: task,
        problem,
        can,
    })
}
