//! Whose turn it is: the caller for whom least was computed. The counters are those of Sheng et al.,
//! "Fairness in Serving Large Language Models" (OSDI 2024), with a token read as much as one written.

use std::collections::HashMap;

use super::CallerId;

/// Tokens that were computed for each caller.
#[derive(Debug, Default)]
pub(super) struct Turns {
    had: HashMap<CallerId, u64>,
}

impl Turns {
    /// A caller comes. One who had nothing to compute for a while gets no credit for that: it counts as
    /// if it had had as much as the `active` one who had least.
    pub(super) fn arrive(&mut self, caller: CallerId, active: impl Iterator<Item = CallerId>) {
        let active: Vec<CallerId> = active.collect();
        if active.contains(&caller) {
            return;
        }
        let least = active.iter().map(|caller| self.had(*caller)).min();
        // Nobody is served: all begin anew, and who never comes back is forgotten.
        let Some(least) = least else {
            self.had.clear();
            return;
        };
        let had = self.had.entry(caller).or_default();
        *had = least.max(*had);
    }

    pub(super) fn had(&self, caller: CallerId) -> u64 {
        self.had.get(&caller).copied().unwrap_or_default()
    }

    /// So many tokens more are computed for a caller.
    pub(super) fn had_more(&mut self, caller: CallerId, tokens: usize) {
        *self.had.entry(caller).or_default() += tokens as u64;
    }
}
