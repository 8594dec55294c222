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

/// Why [`Queue::push`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The queue holds as many items as it may; `waiting` of them.
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
    /// The oldest item.
    Item(T),
    /// Nothing came within the wait.
    Idle,
    /// Closed and empty: nothing will come.
    Closed,
}

/// A FIFO of at most `capacity` items. Abandoned items count for nothing: they are dropped
/// before the length is told or the bound is applied.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T: Abandon> Queue<T> {
    /// An open, empty queue.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            arrived: Condvar::new(),
            capacity,
        }
    }

    /// The bound.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// When the queue is full or closed; the item is dropped then.
    pub fn push(&self, item: T) -> Result<(), PushError> {
        let mut state = self.lock();
        self.room_in(&mut state)?;
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Whether [`Queue::push`] would take an item now.
    ///
    /// # Errors
    /// When the queue is full or closed.
    pub fn check_room(&self) -> Result<(), PushError> {
        self.room_in(&mut self.lock())
    }

    /// Takes the oldest item, waiting up to `patience` for one.
    pub fn pop(&self, patience: Duration) -> Popped<T> {
        let state = self.lock();
        let (mut state, _) = self
            .arrived
            .wait_timeout_while(state, patience, |state| {
                state.items.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.sweep();
        match state.items.pop_front() {
            Some(item) => Popped::Item(item),
            None if state.closed => Popped::Closed,
            None => Popped::Idle,
        }
    }

    /// Items that wait and are still wanted, and the tokens in them.
    pub fn load(&self) -> (usize, usize) {
        let mut state = self.lock();
        state.sweep();
        let tokens = state.items.iter().map(Abandon::tokens).sum();
        (state.items.len(), tokens)
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

    fn room_in(&self, state: &mut State<T>) -> Result<(), PushError> {
        if state.closed {
            return Err(PushError::Closed);
        }
        state.sweep();
        let waiting = state.items.len();
        if waiting >= self.capacity {
            return Err(PushError::Full { waiting });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Abandon> State<T> {
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
        let queue = Queue::new(2);
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
        let queue = Queue::new(2);
        let gone = item(1);
        queue.push(gone.clone()).unwrap();
        queue.push(item(2)).unwrap();
        gone.1.store(true, Ordering::SeqCst);
        assert_eq!((queue.len(), queue.load()), (1, (1, 20)));
        queue.push(item(3)).unwrap();
        assert_eq!(queue.pop(LONG), Popped::Item(item(2)));
    }

    #[test]
    fn closing_lets_the_rest_out_and_nothing_in() {
        let queue = Queue::new(2);
        queue.push(item(1)).unwrap();
        queue.close();
        assert_eq!(queue.push(item(2)), Err(PushError::Closed));
        assert_eq!(queue.pop(LONG), Popped::Item(item(1)));
        assert_eq!(queue.pop(LONG), Popped::Closed);
    }

    #[test]
    fn a_push_wakes_a_waiting_pop() {
        let queue = Arc::new(Queue::new(1));
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.pop(LONG)
        });
        queue.push(item(7)).unwrap();
        assert_eq!(waiting.join().unwrap(), Popped::Item(item(7)));
    }
}
