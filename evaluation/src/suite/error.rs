//! What is wrong with a suite, and what to write instead.

use super::{GREATEST_WEIGHT, LEAST_WEIGHT};

/// Why a text is no suite.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SuiteError {
    /// Nothing but empty lines.
    #[error(
        "the suite has no items: write one a line, such as \
         {{\"input\": \"2 + 2 =\", \"references\": \"4\"}}"
    )]
    Empty,
    /// One line is no item.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1, empty ones too.
        line: usize,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// Why a line is no item of a suite.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Not JSON, a field too many, or a value of the wrong type.
    #[error("column {column}: {message}")]
    Json {
        /// Counted in bytes from 1.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// Two prompts.
    #[error("it has both `messages` and `input`: write one of them")]
    TwoPrompts,
    /// No prompt.
    #[error("it asks nothing: write `messages` for a chat, or `input` for a text that goes on")]
    NoPrompt,
    /// A conversation of no messages.
    #[error(
        "`messages` is empty: write at least one, such as {{\"role\": \"user\", \"content\": \"Hello\"}}"
    )]
    NoMessages,
    /// A role that no model knows.
    #[error("the role `{role}` is unknown: write system, developer, user or assistant")]
    Role {
        /// As written.
        role: String,
    },
    /// An id without a letter.
    #[error("`id` is empty: write a name, or leave the field out to use the line's number")]
    EmptyId,
    /// An id that an earlier line has.
    #[error("the id `{id}` is that of line {first} already: write another one")]
    DuplicateId {
        /// The id.
        id: String,
        /// The line that has it.
        first: usize,
    },
    /// The metric compares with references, and there are none.
    #[error("{metric} needs `references`: write a text or a list of texts")]
    NoReferences {
        /// Its name in a spec.
        metric: &'static str,
    },
    /// An empty reference that each answer would meet, or that has neither tokens nor a vector.
    #[error("a reference is empty, which says nothing to {metric}: write a text or remove it")]
    EmptyReference {
        /// Its name in a spec.
        metric: &'static str,
    },
    /// A weight that is no weight.
    #[error(
        "the weight {weight} is not between {LEAST_WEIGHT} and {GREATEST_WEIGHT}: \
         write 1 for an item like the others"
    )]
    Weight {
        /// As written.
        weight: f64,
    },
    /// A reference that is no regular expression.
    #[error(
        "`{pattern}` is no regular expression of Rust's `regex`, which has no look-around and no \
         backreferences: {message}"
    )]
    Pattern {
        /// As written.
        pattern: String,
        /// The compiler's last line.
        message: String,
    },
}
