//! The bounded first-in, first-out queue between the HTTP handlers and an engine's thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Work that its client may give up while it waits.
pub trait Abandon {
    /// True once nobody waits for the result any more, or its time is up.
    fn is_abandoned(&self) -> bool;
    /// Tokens of the prompts in it.
    fn tokens(&self) -> usize;
    /// Called when the queue drops it for that.
    fn abandon(self);
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// Most requests.
    pub requests: usize,
    /// Most tokens of their prompts. One that has more by itself is taken where nothing waits.
    pub tokens: usize,
}

impl QueueBounds {
    /// So many requests, whatever their tokens.
    #[must_use]
    pub const fn of_requests(requests: usize) -> Self {
        Self {
            requests,
            tokens: usize::MAX,
        }
    }
}

/// Why [`Queue::push`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The queue holds as much as it may; `waiting` items.
    Full {
        /// Items ahead.
        waiting: usize,
    },
    /// The engine takes no more work.
    Closed,
}

/// What [`Queue::pop`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// What was asked for.
    Item(T),
    /// Nothing came within the wait.
    Idle,
    /// Closed and empty: nothing will come.
    Closed,
}

/// A FIFO within bounds. Abandoned items count for nothing: they are dropped
/// before the length is told or the bound is applied.
///
/// An engine that has an order of its own takes all that is there by [`Queue::drain`]. Those items go on
/// to wait, and to count, until it says of each that it [left](Queue::left).
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    bounds: QueueBounds,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Items that wait in the engine's own order, and tokens in them.
    drained: (usize, usize),
    closed: bool,
}

impl<T: Abandon> Queue<T> {
    /// An open, empty queue.
    #[must_use]
    pub fn new(bounds: QueueBounds) -> Self {
        let state = State {
            items: VecDeque::new(),
            drained: (0, 0),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            bounds,
        }
    }

    /// Most items that may wait.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bounds.requests
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// When the queue is full or closed; the item is dropped then.
    pub fn push(&self, item: T) -> Result<(), PushError> {
        let mut state = self.lock();
        self.check_room_in(&mut state, item.tokens())?;
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Whether [`Queue::push`] would take an item of one token now.
    ///
    /// # Errors
    /// When the queue is full or closed.
    pub fn check_room(&self) -> Result<(), PushError> {
        self.check_room_in(&mut self.lock(), 1)
    }

    /// Takes the oldest item, waiting up to `patience` for one.
    pub fn pop(&self, patience: Duration) -> Popped<T> {
        let mut state = self.wait(patience);
        match state.items.pop_front() {
            Some(item) => Popped::Item(item),
            None => state.nothing(),
        }
    }

    /// Takes all items, in the order of their coming, waiting up to `patience` for one.
    pub fn drain(&self, patience: Duration) -> Popped<Vec<T>> {
        let mut state = self.wait(patience);
        if state.items.is_empty() {
            return state.nothing();
        }
        let items: Vec<T> = state.items.drain(..).collect();
        state.drained.0 += items.len();
        state.drained.1 += items.iter().map(Abandon::tokens).sum::<usize>();
        Popped::Item(items)
    }

    /// A drained item of so many tokens waits no more.
    pub fn left(&self, tokens: usize) {
        let mut state = self.lock();
        let (items, all) = state.drained;
        state.drained = (items.saturating_sub(1), all.saturating_sub(tokens));
    }

    /// Items that wait and are still wanted, and the tokens in them.
    pub fn load(&self) -> (usize, usize) {
        let mut state = self.lock();
        state.sweep();
        state.load()
    }

    /// Items that wait and are still wanted.
    pub fn len(&self) -> usize {
        self.load().0
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no more items; what waits can still be popped.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    fn check_room_in(&self, state: &mut State<T>, tokens: usize) -> Result<(), PushError> {
        if state.closed {
            return Err(PushError::Closed);
        }
        state.sweep();
        let (waiting, waiting_tokens) = state.load();
        let is_too_long = waiting > 0 && waiting_tokens.saturating_add(tokens) > self.bounds.tokens;
        if waiting >= self.bounds.requests || is_too_long {
            return Err(PushError::Full { waiting });
        }
        Ok(())
    }

    fn wait(&self, patience: Duration) -> MutexGuard<'_, State<T>> {
        let waits = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(self.lock(), patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        state.sweep();
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// What there is where no item is.
    fn nothing<U>(&self) -> Popped<U> {
        if self.closed {
            Popped::Closed
        } else {
            Popped::Idle
        }
    }
}

impl<T: Abandon> State<T> {
    /// Items, and tokens in them.
    fn load(&self) -> (usize, usize) {
        let (items, tokens) = self.drained;
        let here = self.items.iter().map(Abandon::tokens).sum::<usize>();
        (items + self.items.len(), tokens + here)
    }

    fn sweep(&mut self) {
        if !self.items.iter().any(Abandon::is_abandoned) {
            return;
        }
        for item in std::mem::take(&mut self.items) {
            if item.is_abandoned() {
                item.abandon();
            } else {
                self.items.push_back(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[derive(Clone, Debug)]
    struct Item(u32, Arc<AtomicBool>);

    impl PartialEq for Item {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }

    impl Abandon for Item {
        fn is_abandoned(&self) -> bool {
            self.1.load(Ordering::SeqCst)
        }

        fn tokens(&self) -> usize {
            10 * self.0 as usize
        }

        fn abandon(self) {}
    }

    fn item(id: u32) -> Item {
        Item(id, Arc::default())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn keeps_the_order_and_the_bound() {
        let queue = Queue::new(QueueBounds::of_requests(2));
        queue.push(item(1)).unwrap();
        queue.push(item(2)).unwrap();
        assert_eq!(queue.push(item(3)), Err(PushError::Full { waiting: 2 }));
        assert_eq!(queue.pop(LONG), Popped::Item(item(1)));
        queue.push(item(4)).unwrap();
        assert_eq!(queue.pop(LONG), Popped::Item(item(2)));
        assert_eq!(queue.pop(LONG), Popped::Item(item(4)));
        assert_eq!(queue.pop(Duration::ZERO), Popped::Idle);
    }

    #[test]
    fn abandoned_items_make_room() {
        let queue = Queue::new(QueueBounds::of_requests(2));
        let gone = item(1);
        queue.push(gone.clone()).unwrap();
        queue.push(item(2)).unwrap();
        gone.1.store(true, Ordering::SeqCst);
        assert_eq!((queue.len(), queue.load()), (1, (1, 20)));
        queue.push(item(3)).unwrap();
        assert_eq!(queue.pop(LONG), Popped::Item(item(2)));
    }

    #[test]
    fn drained_items_count_until_they_have_left() {
        let queue = Queue::new(QueueBounds::of_requests(3));
        for id in 1..=2 {
            queue.push(item(id)).unwrap();
        }
        assert_eq!(queue.drain(LONG), Popped::Item(vec![item(1), item(2)]));
        queue.push(item(3)).unwrap();
        assert_eq!(queue.push(item(4)), Err(PushError::Full { waiting: 3 }));
        assert_eq!(queue.load(), (3, 60));
        queue.left(20);
        assert_eq!(queue.load(), (2, 40));
        queue.push(item(4)).unwrap();
        queue.close();
        assert_eq!(queue.drain(LONG), Popped::Item(vec![item(3), item(4)]));
        assert_eq!(queue.drain(LONG), Popped::Closed);
    }

    #[test]
    fn tokens_are_bounded_too_but_one_item_is_taken_in_any_case() {
        let queue = Queue::new(QueueBounds {
            requests: 9,
            tokens: 30,
        });
        queue.push(item(5)).unwrap();
        assert_eq!(queue.check_room(), Err(PushError::Full { waiting: 1 }));
        assert_eq!(queue.pop(LONG), Popped::Item(item(5)));
        queue.push(item(1)).unwrap();
        queue.push(item(2)).unwrap();
        assert_eq!(queue.push(item(1)), Err(PushError::Full { waiting: 2 }));
    }

    #[test]
    fn closing_lets_the_rest_out_and_nothing_in() {
        let queue = Queue::new(QueueBounds::of_requests(2));
        queue.push(item(1)).unwrap();
        queue.close();
        assert_eq!(queue.push(item(2)), Err(PushError::Closed));
        assert_eq!(queue.pop(LONG), Popped::Item(item(1)));
        assert_eq!(queue.pop(LONG), Popped::Closed);
    }

    #[test]
    fn a_push_wakes_a_waiting_pop() {
        let queue = Arc::new(Queue::new(QueueBounds::of_requests(1)));
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop(LONG)
        });
        queue.push(item(7)).unwrap();
        assert_eq!(waiting.join().unwrap(), Popped::Item(item(7)));
    }
}
