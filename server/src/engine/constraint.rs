//! The form that an answer is held to: which tokens may come next.

use llguidance::{Matcher, TokenParser};

use super::EngineError;

/// A grammar, and how much of it is written. A copy goes on by itself.
pub struct Constraint {
    matcher: Box<Matcher>,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint")
            .field("complete", &self.matcher.is_stopped())
            .finish_non_exhaustive()
    }
}

impl Clone for Constraint {
    fn clone(&self) -> Self {
        // A plain clone would share the lexer's states, and a lock on them, between sequences.
        Self {
            matcher: Box::new(self.matcher.deep_clone()),
        }
    }
}

impl Constraint {
    /// A constraint at the start of an answer.
    #[must_use]
    pub fn new(parser: TokenParser) -> Self {
        Self {
            matcher: Box::new(Matcher::new(Ok(parser))),
        }
    }

    /// Finds out whether an answer can begin at all, within the work that a step may be.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&mut self) -> Result<(), EngineError> {
        self.matcher.compute_mask().map(|_| ()).map_err(failed)
    }

    /// The logits with every token ruled out that may not come next. An end token may come where the
    /// grammar can end.
    ///
    /// # Errors
    /// When no token may come, or the step is more work than a step may be.
    pub fn mask(&mut self, logits: &[f32]) -> Result<Vec<f32>, EngineError> {
        let allowed = self.matcher.compute_mask().map_err(failed)?;
        let is_allowed = |token: usize| token < allowed.len() && allowed.get(token);
        let masked = logits.iter().enumerate().map(|(token, logit)| {
            if is_allowed(token) {
                *logit
            } else {
                f32::NEG_INFINITY
            }
        });
        Ok(masked.collect())
    }

    /// One more token was written; true when nothing can follow it.
    ///
    /// # Errors
    /// When the token was not allowed.
    pub fn wrote(&mut self, token: u32) -> Result<bool, EngineError> {
        self.matcher.consume_token(token).map_err(failed)?;
        Ok(self.matcher.is_stopped())
    }
}

/// Only the first line speaks of the problem; what follows is the parser's state.
fn failed(error: impl std::fmt::Display) -> EngineError {
    let text = error.to_string();
    EngineError::Constraint(text.lines().next().unwrap_or_default().to_owned())
}
