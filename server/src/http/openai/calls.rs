//! Calls of tools in answers, whole and in chunks.

use serde_json::{Value, json};

use super::shape::{Choice, Shape, call};
use super::tools::Calling;
use crate::engine::{FinishReason, Written};
use crate::tasks::{Part, ToolCallParser};

/// OpenAI's word for an answer that ends with calls.
const TOOL_CALLS: &str = "tool_calls";

/// One choice on its way to the client, from what the engine writes to what the API tells.
#[derive(Debug)]
pub(super) struct Telling {
    parser: Option<ToolCallParser>,
    /// Calls so far.
    calls: usize,
}

impl Telling {
    /// A choice in which calls are looked for, if there are tools.
    pub(super) fn new(calling: Option<Calling>) -> Self {
        let parser = calling.map(|it| ToolCallParser::new(it.format, it.several));
        Self { parser, calls: 0 }
    }

    /// The chunks of a piece of the choice `index`.
    pub(super) fn more(&mut self, shape: &Shape, index: usize, written: Written) -> Vec<Value> {
        let Some(parser) = &mut self.parser else {
            return vec![shape.more(index, &written)];
        };
        let parts = parser.push(&written.text);
        let mut chunks = self.parts(shape, index, parts);
        if !written.logprobs.is_empty() {
            let untold = Written {
                text: String::new(),
                logprobs: written.logprobs,
            };
            chunks.push(shape.more(index, &untold));
        }
        chunks
    }

    /// The last chunks of the choice `index`.
    pub(super) fn end(&mut self, shape: &Shape, index: usize, reason: FinishReason) -> Vec<Value> {
        let rest = self.parser.as_mut().map(ToolCallParser::finish);
        let mut chunks = self.parts(shape, index, rest.unwrap_or_default());
        chunks.push(shape.end(index, self.reason(reason)));
        chunks
    }

    fn parts(&mut self, shape: &Shape, index: usize, parts: Vec<Part>) -> Vec<Value> {
        let mut chunk = |part: Part| match part {
            Part::Text(text) => {
                let logprobs = Vec::new();
                shape.more(index, &Written { text, logprobs })
            }
            Part::Call { id, name } => {
                self.calls += 1;
                shape.call(index, self.calls - 1, call(&id, &name, ""))
            }
            Part::Arguments(more) => {
                let piece = json!({"function": {"arguments": more}});
                shape.call(index, self.calls.saturating_sub(1), piece)
            }
        };
        parts.into_iter().map(&mut chunk).collect()
    }

    fn reason(&self, reason: FinishReason) -> &'static str {
        let has_calls = self.parser.as_ref().is_some_and(ToolCallParser::has_calls);
        match reason {
            FinishReason::Stop if has_calls => TOOL_CALLS,
            _ => reason.as_str(),
        }
    }

    /// The choice in one piece.
    pub(super) fn whole(mut self, mut written: Written, reason: FinishReason) -> Choice {
        let mut calls: Vec<(String, String, String)> = Vec::new();
        if let Some(parser) = &mut self.parser {
            let text = std::mem::take(&mut written.text);
            let mut parts = parser.push(&text);
            parts.extend(parser.finish());
            for part in parts {
                match (part, calls.last_mut()) {
                    (Part::Text(text), _) => written.text.push_str(&text),
                    (Part::Call { id, name }, _) => calls.push((id, name, String::new())),
                    (Part::Arguments(more), Some((_, _, arguments))) => arguments.push_str(&more),
                    (Part::Arguments(_), None) => {}
                }
            }
        }
        let told = calls.iter().map(|(id, name, it)| call(id, name, it));
        Choice {
            written,
            calls: told.collect(),
            reason: self.reason(reason),
        }
    }
}
