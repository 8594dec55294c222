//! Which replica takes a request: a weighted choice of revision, then a replica by its load or by
//! what it has computed before.

use super::affinity;
use super::route::{ModelRoute, NoRoute, RevisionRoute};

/// What one request in flight weighs, in queued tokens: an ordinary prompt and its answer.
pub const TOKENS_PER_REQUEST: u64 = 512;
/// A replica that tells of more is taken at this, so that no sum over replicas overflows.
const MOST_QUEUED_TOKENS: u64 = 1 << 40;
/// How far a replica may be loaded above the mean before it loses requests that belong there.
const BOUND_PERCENT: u128 = 125;

/// A replica, as indices into the [`ModelRoute`] that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Of [`ModelRoute::revisions`].
    pub revision: usize,
    /// Of [`RevisionRoute::endpoints`].
    pub endpoint: usize,
}

/// What one request asks of [`pick`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// This revision and no other.
    pub revision: Option<&'a str>,
    /// The caller's session, by [`affinity::key_of`]. One session stays with a revision while
    /// weights move, and with a replica while its load allows.
    pub session: Option<u64>,
    /// The prompt's beginning, by [`affinity::key_of`]. Requests with the same go to the same
    /// replica while its load allows. A session goes before it: nothing shares a longer
    /// beginning with a request than its own session.
    pub prefix: Option<u64>,
    /// Ids of endpoints that must not be chosen.
    pub tried: &'a [String],
    /// The dice.
    pub draws: Draws,
}

/// The chance of one request. Draws that are spread evenly rather than at random serve as well.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Draws {
    /// Uniform in `[0, 1)`, chooses the revision; anything outside is clamped.
    pub revision: f64,
    /// Uniform over all numbers, chooses the replica.
    pub replica: u64,
}

/// What is known of a replica at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests of ours that it has.
    pub in_flight: u32,
    /// Tokens that wait there to be computed, as the replica itself told lately; 0 if it did not.
    pub queued_tokens: u64,
    /// Whether it failed lately and is to be passed over; see [`Health`](super::Health).
    pub ejected: bool,
}

impl Load {
    /// The load as one number, in tokens.
    #[inline]
    fn score(self) -> u64 {
        let queued = self.queued_tokens.min(MOST_QUEUED_TOKENS);
        u64::from(self.in_flight) * TOKENS_PER_REQUEST + queued
    }
}

/// Chooses a replica of `route` for one request. `load` tells of a replica at this moment; it is
/// asked of two replicas for most requests, and up to twice of each replica of one revision where
/// there is a key, or some replica is out.
///
/// **Revision.** With a session, by weighted rendezvous hashing; otherwise the one in whose slice
/// of the summed weights the draw falls. One without an untried endpoint leaves its share to the
/// others.
///
/// **Replica.** Without a key, the less loaded of two drawn at random, which keeps the highest
/// load within O(log log n) of the mean (Mitzenmacher, "The Power of Two Choices in Randomized
/// Load Balancing", 2001), even where several gateways choose by what each knows alone. With a
/// key, by rendezvous hashing with bounded loads: the highest scoring replica that the request
/// does not lift over `⌈1.25 · mean⌉` (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing
/// with Bounded Loads", 2016), or the least loaded where reported tokens leave none below.
///
/// **Ejected** replicas are passed over, unless they are more than half of the revision: then the
/// fault lies rather with us or with all, and all are asked, as with Envoy's panic threshold. A
/// request that was tried before still prefers those that are not ejected.
///
/// # Errors
/// [`NoRoute`], when there is nothing to choose from.
pub fn pick(
    route: &ModelRoute,
    ask: &Ask<'_>,
    load: impl Fn(Place) -> Load,
) -> Result<Place, NoRoute> {
    let revision = match ask.revision {
        Some(name) => named(route, name)?,
        None => weighted(route, ask)?,
    };
    let candidates = Candidates {
        index: revision,
        revision: route
            .revisions
            .get(revision)
            .ok_or(NoRoute::NoReadyReplica)?,
        tried: ask.tried,
        load,
    };
    let endpoint = match ask.session.or(ask.prefix) {
        Some(key) => candidates.nearest(key),
        None => candidates.less_loaded_of_two(ask.draws.replica),
    };
    let endpoint = endpoint.ok_or(NoRoute::AllTried)?;
    Ok(Place { revision, endpoint })
}

fn named(route: &ModelRoute, name: &str) -> Result<usize, NoRoute> {
    let asked = |r: &RevisionRoute| r.revision == name && r.is_available();
    let found = route.revisions.iter().position(asked);
    found.ok_or(NoRoute::RevisionNotAvailable)
}

fn weighted(route: &ModelRoute, ask: &Ask<'_>) -> Result<usize, NoRoute> {
    let revisions = route.revisions.iter().enumerate();
    let open = revisions.filter(|(_, revision)| is_open(revision, ask.tried));
    let chosen = match ask.session {
        Some(session) => by_session(open, session),
        None => by_draw(open, ask.draws.revision),
    };
    chosen.ok_or_else(|| {
        if route.revisions.iter().any(RevisionRoute::is_available) {
            NoRoute::AllTried
        } else {
            NoRoute::NoReadyReplica
        }
    })
}

fn is_open(revision: &RevisionRoute, tried: &[String]) -> bool {
    let untried = || revision.endpoints.iter().any(|e| !tried.contains(&e.id));
    revision.is_available() && (tried.is_empty() || untried())
}

/// The revision that the session belongs to.
fn by_session<'a>(
    open: impl Iterator<Item = (usize, &'a RevisionRoute)>,
    session: u64,
) -> Option<usize> {
    let scored = open.map(|(index, revision)| {
        let score = affinity::weighted_score(session, &revision.revision, revision.weight);
        (index, score)
    });
    let best = scored.max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(index, _)| index)
}

/// The revision in whose slice of the summed weights `draw` falls; `None` when there is none.
fn by_draw<'a>(
    open: impl Iterator<Item = (usize, &'a RevisionRoute)> + Clone,
    draw: f64,
) -> Option<usize> {
    let total: u64 = open.clone().map(|(_, r)| u64::from(r.weight)).sum();
    // What is not a number becomes 0.
    let mut point = (draw.clamp(0.0, 1.0) * total as f64) as u64;
    let mut last = None;
    for (index, revision) in open {
        let weight = u64::from(revision.weight);
        if point < weight {
            return Some(index);
        }
        point -= weight;
        last = Some(index);
    }
    // A draw of 1.0, or one that rounding lifted to it, falls behind the last slice.
    last
}

/// The replicas of the chosen revision.
struct Candidates<'a, L> {
    index: usize,
    revision: &'a RevisionRoute,
    tried: &'a [String],
    load: L,
}

/// What is known of all candidates before one is chosen.
#[derive(Default)]
struct Field {
    /// Whether those that are ejected may be chosen too.
    all: bool,
    count: usize,
    /// Of the scores of load.
    total: u64,
}

impl<L: Fn(Place) -> Load> Candidates<'_, L> {
    /// The less loaded of two drawn; of equals the first drawn, which is as good as a third draw.
    fn less_loaded_of_two(&self, draw: u64) -> Option<usize> {
        let count = self.revision.endpoints.len();
        // Nearly always any two will do, and nothing else need be looked at. Both here and below,
        // each pair that will do has the same chance.
        if self.tried.is_empty() && count > 0 {
            let (first, second) = two_of(count, draw);
            let (a, b) = (self.load(first), self.load(second));
            if !a.ejected && !b.ejected {
                return Some(less((first, a), (second, b)));
            }
        }
        let field = self.field();
        let (first, second) = two_of(field.count, affinity::mix(draw));
        let (low, high) = (first.min(second), first.max(second));
        let mut eligible = self.eligible(field.all);
        let a = eligible.nth(low)?;
        // None if there is one candidate only, be it that the other left while we looked.
        let b = high.checked_sub(low + 1).and_then(|n| eligible.nth(n));
        let b = b.unwrap_or(a);
        Some(if first < second {
            less(a, b)
        } else {
            less(b, a)
        })
    }

    /// The highest scoring for `key` that has room, else the least loaded.
    fn nearest(&self, key: u64) -> Option<usize> {
        let field = self.field();
        let bound = field.bound();
        let (mut nearest, mut least) = (None, None);
        for (index, load) in self.eligible(field.all) {
            let weight = load.score();
            if least.is_none_or(|(known, _)| weight < known) {
                least = Some((weight, index));
            }
            if weight + TOKENS_PER_REQUEST > bound {
                continue;
            }
            let score = affinity::score(key, self.revision.endpoints[index].addr);
            if nearest.is_none_or(|(known, _)| score > known) {
                nearest = Some((score, index));
            }
        }
        nearest.or(least).map(|(_, index)| index)
    }

    #[inline]
    fn load(&self, endpoint: usize) -> Load {
        (self.load)(Place {
            revision: self.index,
            endpoint,
        })
    }

    fn eligible(&self, all: bool) -> impl Iterator<Item = (usize, Load)> {
        let endpoints = self.revision.endpoints.iter().enumerate();
        let untried = endpoints.filter(|(_, e)| !self.tried.contains(&e.id));
        let loads = untried.map(|(index, _)| (index, self.load(index)));
        loads.filter(move |(_, load)| all || !load.ejected)
    }

    fn field(&self) -> Field {
        let (mut fit, mut all, mut ejected) = (Field::default(), Field::default(), 0);
        all.all = true;
        for (index, endpoint) in self.revision.endpoints.iter().enumerate() {
            let load = self.load(index);
            ejected += usize::from(load.ejected);
            if !self.tried.is_empty() && self.tried.contains(&endpoint.id) {
                continue;
            }
            all.add(load);
            if !load.ejected {
                fit.add(load);
            }
        }
        let panic = self.tried.is_empty() && ejected * 2 > self.revision.endpoints.len();
        if panic || fit.count == 0 { all } else { fit }
    }
}

impl Field {
    #[inline]
    fn add(&mut self, load: Load) {
        self.count += 1;
        self.total = self.total.saturating_add(load.score());
    }

    /// The score that the request may lift a replica to: `⌈1.25 · mean⌉` requests, the request
    /// itself counted in the mean, which is taken as 1 at least.
    fn bound(&self) -> u64 {
        let unit = u128::from(TOKENS_PER_REQUEST);
        let count = self.count.max(1) as u128;
        let sum = (u128::from(self.total) + unit).max(count * unit);
        let requests = (sum * BOUND_PERCENT).div_ceil(count * unit * 100);
        u64::try_from(requests * unit).unwrap_or(u64::MAX)
    }
}

fn less(a: (usize, Load), b: (usize, Load)) -> usize {
    if b.1.score() < a.1.score() { b.0 } else { a.0 }
}

/// Two distinct numbers below `count`, each pair with the same chance; the same twice where there
/// is only one.
fn two_of(count: usize, draw: u64) -> (usize, usize) {
    // A number below `count` from 32 random bits by multiplication, as quick as it is even.
    let below = |count: usize, bits: u64| ((bits * count as u64) >> 32) as usize;
    let count = count.min(1 << 31);
    let first = below(count, draw >> 32);
    if count < 2 {
        return (first, first);
    }
    let second = below(count - 1, draw & 0xffff_ffff);
    (first, if second < first { second } else { second + 1 })
}
