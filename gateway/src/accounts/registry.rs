//! The accounts of the moment, and what each has used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chandler_core::traffic::RouteTable;
use chandler_core::traffic::fair::AccountId;
use chandler_core::traffic::limit::Limiter;
use http::{HeaderMap, HeaderValue, header};
use prometheus::Registry;
use tokio::time::Instant;

use super::account::Account;
use super::error::AccountError;
use super::gates::Gates;
use super::key::{KeyHash, sent};
use super::metrics::AccountMetrics;
use crate::headers::CALLER;
use crate::table::Snapshot;

/// All keys there are. One that could not be read counts too: its holder gets no answer, and
/// neither does everyone.
#[derive(Debug, Default)]
pub struct Keys {
    /// Those that are well.
    pub accounts: Vec<Account>,
    /// How many are not.
    pub refused: usize,
}

/// Who may ask at all.
#[derive(Debug, Default)]
enum Access {
    /// Everyone: there is no key.
    #[default]
    Open,
    /// Nobody yet: there may be keys.
    NotRead,
    /// Who has one of these.
    Keys(HashMap<KeyHash, Arc<Holder>>),
}

/// An account with what it has used.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) account: Account,
    pub(super) state: Arc<State>,
}

/// What of an account outlives an update.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: AccountId,
    limiter: Mutex<Limiter>,
}

impl State {
    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One moment that all times of accounts are measured from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// Who may ask, and for how much. Readers take no lock, and while there is no key pay for no more
/// than one look.
#[derive(Debug)]
pub(crate) struct Accounts {
    access: ArcSwap<Access>,
    /// States by account's name. Also keeps updates one after the other.
    states: Mutex<Known>,
    pub(super) gates: Arc<Gates>,
    pub(super) metrics: AccountMetrics,
    pub(super) clock: Clock,
}

#[derive(Debug, Default)]
struct Known {
    states: HashMap<String, Arc<State>>,
    last: AccountId,
}

impl Accounts {
    /// Open to everyone. `longest`: most requests that wait at one saturated model.
    pub(crate) fn new(registry: &Registry, longest: usize) -> prometheus::Result<Self> {
        let metrics = AccountMetrics::new(registry)?;
        metrics.open(true);
        Ok(Self {
            access: ArcSwap::default(),
            states: Mutex::default(),
            gates: Arc::new(Gates::new(longest, metrics.clone())),
            metrics,
            clock: Clock(Instant::now()),
        })
    }

    /// From now until the first [`publish`](Self::publish) nobody is let in.
    pub(crate) fn await_keys(&self) {
        self.metrics.open(false);
        self.access.store(Arc::new(Access::NotRead));
    }

    /// Whether it is known who may ask.
    pub(crate) fn are_known(&self) -> bool {
        !matches!(**self.access.load(), Access::NotRead)
    }

    /// Whether everyone may ask.
    pub(crate) fn are_open(&self) -> bool {
        matches!(**self.access.load(), Access::Open)
    }

    /// Says loudly that everyone may ask, if it is so.
    pub(crate) fn warn_if_open(&self) {
        if self.are_open() {
            tracing::warn!(
                "no API key is configured: everyone who reaches this gateway may use every model; \
                 `chandler keys create NAME` makes a key, and from then on one is needed"
            );
        }
    }

    /// Replaces all accounts. Requests under way go on, those of keys that are gone too.
    pub(crate) fn publish(&self, keys: Keys) {
        let mut known = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let none = keys.accounts.is_empty() && keys.refused == 0;
        let access = match none {
            true => Access::Open,
            false => Access::Keys(known.holders(keys.accounts, self.clock.now())),
        };
        let was_open = self.are_open();
        self.access.store(Arc::new(access));
        self.metrics.open(none);
        match (was_open, none) {
            (false, true) => self.warn_if_open(),
            (true, false) => tracing::info!("API keys are configured: one is needed from now on"),
            _ => {}
        }
    }

    /// Whose key a request brings; `None` while everyone may ask. The key is taken out of the
    /// headers, so that no replica gets to see it, and the account's name is put in; a name that the
    /// client put in itself goes in any case.
    pub(crate) fn identify(
        &self,
        headers: &mut HeaderMap,
    ) -> Result<Option<Arc<Holder>>, AccountError> {
        headers.remove(&CALLER);
        let access = self.access.load();
        let holders = match &**access {
            Access::Open => return Ok(None),
            Access::NotRead => return Err(AccountError::KeysNotRead),
            Access::Keys(holders) => holders,
        };
        let Some(hash) = sent(headers) else {
            return Err(AccountError::KeyMissing);
        };
        headers.remove(header::AUTHORIZATION);
        let holder = holders.get(&hash).ok_or(AccountError::KeyUnknown)?;
        if let Ok(name) = HeaderValue::from_str(&holder.account.name) {
            headers.insert(&CALLER, name);
        }
        Ok(Some(Arc::clone(holder)))
    }

    /// Lets go whom a new table has room for.
    pub(crate) fn table_changed(&self, table: &RouteTable) {
        if !self.are_open() {
            self.gates.rooms(table);
        }
    }
}

impl Known {
    /// The holders by hash, each with the state that its name has had before.
    fn holders(
        &mut self,
        mut accounts: Vec<Account>,
        now: Duration,
    ) -> HashMap<KeyHash, Arc<Holder>> {
        // Of two with one key the same one has it after each update.
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut holders: HashMap<KeyHash, Arc<Holder>> = HashMap::new();
        let mut states = HashMap::new();
        for account in accounts {
            if let Some(first) = holders.get(&account.hash) {
                tracing::warn!(
                    account = account.name,
                    first = first.account.name,
                    "two accounts have one key, and the first has it: make a key for the other"
                );
                continue;
            }
            let state = self.state(&account, now);
            states.insert(account.name.clone(), Arc::clone(&state));
            holders.insert(account.hash, Arc::new(Holder { account, state }));
        }
        self.states = states;
        holders
    }

    fn state(&mut self, account: &Account, now: Duration) -> Arc<State> {
        if let Some(state) = self.states.get(&account.name) {
            state.limiter().change(account.limits, now);
            return Arc::clone(state);
        }
        self.last += 1;
        Arc::new(State {
            id: self.last,
            limiter: Mutex::new(Limiter::new(account.limits, now)),
        })
    }
}

impl Holder {
    /// Whether this account may use the name, be it there or not.
    pub(crate) fn allows(&self, name: &str) -> bool {
        self.account.models.allows(name)
    }

    /// Whether this account may use the name, and the table has it.
    pub(super) fn reaches(&self, name: &str, snapshot: &Snapshot) -> bool {
        self.allows(name)
            // Before the first table nobody knows, and the request waits for it.
            && (snapshot.version == 0 || snapshot.model(name).is_some())
    }
}
