//! Whose request goes next when a model is saturated: fair queueing by tokens, with weights.
//!
//! Each account has a tag: the tokens it was given, divided by its weight. The account with the
//! least tag goes next. This is start-time fair queueing (Goyal, Vin and Cheng, *Start-time Fair
//! Queuing: A Scheduling Algorithm for Integrated Services Packet Switching Networks*, SIGCOMM
//! 1996), which needs the cost of a request only once it has begun, and bounds how far the shares
//! of two accounts that both have requests waiting can drift apart, by one request of each. That
//! tokens are what is shared, charged by an estimate and corrected when the answer's length is
//! known, is from *Fairness in Serving Large Language Models* (Sheng et al., OSDI 2024).
//!
//! An account whose queue was empty begins at the tag of the request that went last, so nobody
//! saves credit by being idle. A full queue makes room for an account with little in it at the
//! expense of the one with the most, so a flood drowns only itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Tags are in tokens times this, so that dividing by a weight loses little.
const SCALE: u128 = 1 << 32;

/// An account, by a number of the caller's.
pub type AccountId = u64;
/// A request in the queue, by a number of the queue's.
pub type Ticket = u64;

/// A request as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Whose it is.
    pub account: AccountId,
    /// The account's share relative to the others; 0 counts as 1.
    pub weight: u32,
    /// Tokens it is expected to cost.
    pub cost: u64,
    /// When it is of no use any more, since the moment that all times are measured from.
    pub deadline: Duration,
}

/// The request whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which one.
    pub ticket: Ticket,
    /// Whose it is.
    pub account: AccountId,
    /// What its account was charged, to be given to [`FairQueue::settle`].
    pub charged: u64,
}

/// A request's place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// The request.
    pub ticket: Ticket,
    /// The request of another account that had to make room, and is in the queue no more.
    pub evicted: Option<Ticket>,
}

/// The queue is full, and no account has more in it than the one that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait already")]
pub struct Full;

/// The requests that wait for one model.
#[derive(Debug)]
pub struct FairQueue {
    accounts: BTreeMap<AccountId, Account>,
    /// Accounts with a request waiting, by tag: the first goes next.
    waiting: BTreeSet<(u128, AccountId)>,
    /// The tag at which the request began that went last.
    virtual_time: u128,
    length: usize,
    capacity: usize,
    next: Ticket,
}

#[derive(Debug)]
struct Account {
    weight: u32,
    tag: u128,
    queue: VecDeque<Waiting>,
    /// Requests charged and not settled.
    open: usize,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    cost: u64,
    deadline: Duration,
}

impl Account {
    fn charge(&self, tokens: u64) -> u128 {
        u128::from(tokens) * SCALE / u128::from(self.weight.max(1))
    }

    /// Requests in the queue for each unit of weight, were there `more`.
    fn backlog(&self, more: usize) -> f64 {
        (self.queue.len() + more) as f64 / f64::from(self.weight.max(1))
    }
}

impl FairQueue {
    /// For `capacity` requests at most.
    pub fn new(capacity: usize) -> Self {
        Self {
            accounts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            virtual_time: 0,
            length: 0,
            capacity,
            next: 0,
        }
    }

    /// Requests in the queue.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Charges a request that need not wait. Only while the queue is empty is that fair.
    pub fn pass(&mut self, asked: Asked) {
        self.enter(asked);
        self.begin(asked.account, asked.cost);
    }

    /// Puts a request into the queue, behind those of the same account.
    ///
    /// # Errors
    /// [`Full`].
    pub fn push(&mut self, asked: Asked) -> Result<Queued, Full> {
        self.enter(asked);
        let evicted = match self.length < self.capacity {
            true => None,
            false => Some(self.evict(asked.account)?),
        };
        let ticket = self.next;
        self.next += 1;
        if let Some(account) = self.accounts.get_mut(&asked.account) {
            account.queue.push_back(Waiting {
                ticket,
                cost: asked.cost,
                deadline: asked.deadline,
            });
            self.length += 1;
            self.waiting.insert((account.tag, asked.account));
        }
        Ok(Queued { ticket, evicted })
    }

    /// Takes the request whose turn it is out of the queue and charges it. Those whose deadline
    /// has passed are not given; [`expire`](Self::expire) tells of them.
    pub fn pop(&mut self, now: Duration) -> Option<Turn> {
        let next = self.waiting.iter().find_map(|(_, id)| {
            let queue = &self.accounts.get(id)?.queue;
            let at = queue.iter().position(|it| it.deadline > now)?;
            Some((*id, at))
        });
        let (account, at) = next?;
        let waiting = self.take_out(account, at)?;
        self.begin(account, waiting.cost);
        Some(Turn {
            ticket: waiting.ticket,
            account,
            charged: waiting.cost,
        })
    }

    /// Takes a request out whose caller has left; nothing was charged for it. Whether it was there.
    pub fn remove(&mut self, account: AccountId, ticket: Ticket) -> bool {
        let queue = self.accounts.get(&account).map(|it| &it.queue);
        let at = queue.and_then(|queue| queue.iter().position(|it| it.ticket == ticket));
        let removed = at.and_then(|at| self.take_out(account, at));
        self.forget_if_done(account);
        removed.is_some()
    }

    /// Takes out all whose deadline has passed.
    pub fn expire(&mut self, now: Duration) -> Vec<Ticket> {
        let queues = self.accounts.iter();
        let late: Vec<(AccountId, Ticket)> = queues
            .flat_map(|(id, account)| account.queue.iter().map(|it| (*id, it)))
            .filter(|(_, waiting)| waiting.deadline <= now)
            .map(|(id, waiting)| (id, waiting.ticket))
            .collect();
        for (account, ticket) in &late {
            self.remove(*account, *ticket);
        }
        late.into_iter().map(|(_, ticket)| ticket).collect()
    }

    /// Puts what a request really used in the place of what it was charged, at its end.
    pub fn settle(&mut self, account: AccountId, charged: u64, used: u64) {
        let Some(it) = self.accounts.get_mut(&account) else {
            return;
        };
        let was = it.tag;
        it.open = it.open.saturating_sub(1);
        it.tag = it.tag.saturating_sub(it.charge(charged)) + it.charge(used);
        if self.waiting.remove(&(was, account)) {
            self.waiting.insert((it.tag, account));
        }
        self.forget_if_done(account);
    }

    /// Makes an account known, and takes away what it would have saved by being idle.
    fn enter(&mut self, asked: Asked) {
        // A refund may have put an account that waits below the virtual time.
        let least = self.waiting.first().map(|(tag, _)| *tag);
        let floor = least.map_or(self.virtual_time, |tag| tag.min(self.virtual_time));
        let account = self.accounts.entry(asked.account).or_insert(Account {
            weight: asked.weight,
            tag: floor,
            queue: VecDeque::new(),
            open: 0,
        });
        account.weight = asked.weight;
        if account.queue.is_empty() {
            account.tag = account.tag.max(floor);
        }
    }

    /// Charges a request that begins.
    fn begin(&mut self, id: AccountId, cost: u64) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        self.virtual_time = self.virtual_time.max(account.tag);
        let waits = self.waiting.remove(&(account.tag, id));
        account.tag += account.charge(cost);
        account.open += 1;
        if waits {
            self.waiting.insert((account.tag, id));
        }
    }

    /// Takes out the newest request of the account with the most in the queue for its weight, if
    /// that is more than `for_whom` would have with one more.
    fn evict(&mut self, for_whom: AccountId) -> Result<Ticket, Full> {
        let own = self.accounts.get(&for_whom).map_or(0.0, |it| it.backlog(1));
        let others = self.accounts.iter().filter(|(id, _)| **id != for_whom);
        let backlogs = others.map(|(id, account)| (account.backlog(0), *id));
        let longest = backlogs.max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, longest)) = longest.filter(|(backlog, _)| *backlog > own) else {
            self.forget_if_done(for_whom);
            return Err(Full);
        };
        let queue = self.accounts.get(&longest).map(|it| it.queue.len());
        let newest = queue.and_then(|length| length.checked_sub(1));
        let evicted = newest.and_then(|at| self.take_out(longest, at));
        self.forget_if_done(longest);
        evicted.map(|it| it.ticket).ok_or(Full)
    }

    fn take_out(&mut self, id: AccountId, at: usize) -> Option<Waiting> {
        let account = self.accounts.get_mut(&id)?;
        let waiting = account.queue.remove(at)?;
        self.length -= 1;
        if account.queue.is_empty() {
            self.waiting.remove(&(account.tag, id));
        }
        Some(waiting)
    }

    /// Forgets an account with nothing under way, unless it owes: it would come back the same.
    fn forget_if_done(&mut self, id: AccountId) {
        let done =
            |it: &Account| it.queue.is_empty() && it.open == 0 && it.tag <= self.virtual_time;
        if self.accounts.get(&id).is_some_and(done) {
            self.accounts.remove(&id);
        }
    }
}
