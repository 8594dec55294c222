//! What was asked of a model for longer than windows reach, in slots.

use std::collections::VecDeque;
use std::time::Duration;

use super::{FRESH, SLOT, SLOTS, Slot, Trail};

/// How much of a slot must have been seen for it to tell of the whole.
const WHOLE: Duration = Duration::from_secs(SLOT.as_secs() * 9 / 10);

/// Slots as they fill.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Number of the first cell's slot, counted from the clock's beginning.
    first: u64,
    cells: VecDeque<Cell>,
    /// Until when any replica told.
    told: Duration,
}

#[derive(Debug, Default)]
struct Cell {
    amount: Slot,
    seen: Duration,
}

impl Slots {
    /// Adds what a replica did from one reading to the next, as if it had done it evenly.
    pub(super) fn add(&mut self, from: Duration, until: Duration, amount: Slot) {
        if until <= from {
            return;
        }
        let unseen_from = from.max(self.told);
        self.told = self.told.max(until);
        let whole = until.saturating_sub(from).as_secs_f64();
        for number in number_at(from)..=number_at(until) {
            let (begin, end) = (begin_of(number), begin_of(number + 1).min(until));
            let Some(cell) = self.cell(number) else {
                continue;
            };
            let share = end.saturating_sub(from.max(begin)).as_secs_f64() / whole;
            cell.amount.add(&amount, share);
            cell.seen += end.saturating_sub(unseen_from.max(begin));
        }
    }

    /// The slots that are over and were seen, back to one that was not. All who tell in time have
    /// told of a slot `lasts` after its end, [`FRESH`] at the least.
    pub(super) fn trail(&self, now: Duration, lasts: Duration) -> Trail {
        let over = |at: Duration| number_at(at.saturating_sub(lasts.max(FRESH)));
        let end = over(self.told);
        let seldom = lasts
            .saturating_sub(FRESH)
            .as_secs()
            .div_ceil(SLOT.as_secs());
        if over(now) > end + 1 + seldom {
            return Trail::default();
        }
        let count = usize::try_from(end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let count = count.min(self.cells.len());
        let whole = self.cells.range(..count).rev();
        let whole = whole.take_while(|cell| cell.seen >= WHOLE).take(SLOTS);
        let mut slots: Vec<Slot> = whole.map(|cell| at_least_none(cell.amount)).collect();
        slots.reverse();
        Trail(slots.into())
    }

    /// The cell of a slot; `None` of one that is too long ago.
    fn cell(&mut self, number: u64) -> Option<&mut Cell> {
        let next = self.first + self.cells.len() as u64;
        if self.cells.is_empty() || number > next + SLOTS as u64 {
            self.cells.clear();
            self.first = number;
        }
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        while self.cells.len() <= index {
            self.cells.push_back(Cell::default());
        }
        // Two more than are told: the one that fills, and the one that some may still tell of.
        let surplus = self.cells.len().saturating_sub(SLOTS + 2);
        self.cells.drain(..surplus);
        self.first += surplus as u64;
        self.cells.get_mut(index.checked_sub(surplus)?)
    }
}

fn number_at(at: Duration) -> u64 {
    at.as_secs() / SLOT.as_secs()
}

fn begin_of(number: u64) -> Duration {
    Duration::from_secs(number.saturating_mul(SLOT.as_secs()))
}

impl Slot {
    fn add(&mut self, more: &Self, share: f64) {
        self.arrived += share * more.arrived;
        self.prompt_tokens += share * more.prompt_tokens;
        self.generation_tokens += share * more.generation_tokens;
        self.running_seconds += share * more.running_seconds;
        self.beside_seconds += share * more.beside_seconds;
    }
}

fn at_least_none(slot: Slot) -> Slot {
    Slot {
        arrived: slot.arrived.max(0.0),
        prompt_tokens: slot.prompt_tokens.max(0.0),
        generation_tokens: slot.generation_tokens.max(0.0),
        ..slot
    }
}
