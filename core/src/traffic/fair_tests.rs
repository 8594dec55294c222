#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::fair::{AccountId, Asked, FairQueue, Full, Turn};

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(60);

fn asked(account: AccountId, weight: u32, cost: u64) -> Asked {
    Asked {
        account,
        weight,
        cost,
        deadline: LATER,
    }
}

/// Takes `count` turns; each ends before the next, having used what it was charged.
fn serve(queue: &mut FairQueue, count: usize) -> Vec<Turn> {
    let turns = (0..count).map_while(|_| {
        let turn = queue.pop(NOW)?;
        queue.settle(turn.account, turn.charged, turn.charged);
        Some(turn)
    });
    turns.collect()
}

fn accounts(turns: &[Turn]) -> Vec<AccountId> {
    turns.iter().map(|turn| turn.account).collect()
}

#[test]
fn shares_follow_weights_and_an_account_keeps_its_order() {
    let mut queue = FairQueue::new(100);
    let first: Vec<_> = (0..30)
        .map(|_| queue.push(asked(1, 1, 10)).unwrap().ticket)
        .collect();
    for _ in 0..30 {
        queue.push(asked(3, 3, 10)).unwrap();
    }
    let turns = serve(&mut queue, 40);
    let of_first = turns.iter().filter(|turn| turn.account == 1);
    let of_first: Vec<_> = of_first.map(|turn| turn.ticket).collect();
    assert_eq!(of_first, first[..10], "10 of 40, the eldest first");
    assert_eq!(queue.len(), 20);
}

#[test]
fn long_requests_count_for_what_they_cost() {
    let mut queue = FairQueue::new(100);
    for _ in 0..40 {
        queue.push(asked(1, 1, 100)).unwrap();
        queue.push(asked(2, 1, 10)).unwrap();
    }
    let turns = serve(&mut queue, 33);
    let long = turns.iter().filter(|turn| turn.account == 1).count();
    assert_eq!(long, 3);
}

#[test]
fn what_was_really_used_moves_the_next_turn() {
    let mut queue = FairQueue::new(100);
    for _ in 0..3 {
        queue.push(asked(1, 1, 10)).unwrap();
        queue.push(asked(2, 1, 10)).unwrap();
    }
    let first = queue.pop(NOW).unwrap();
    let second = queue.pop(NOW).unwrap();
    assert_eq!((first.account, second.account), (1, 2));
    queue.settle(1, 10, 25);
    queue.settle(2, 10, 5);
    assert_eq!(accounts(&serve(&mut queue, 4)), [2, 2, 1, 1]);
}

#[test]
fn who_was_idle_has_saved_nothing() {
    let mut queue = FairQueue::new(1000);
    for _ in 0..200 {
        queue.push(asked(1, 1, 10)).unwrap();
    }
    serve(&mut queue, 100);
    for _ in 0..50 {
        queue.push(asked(2, 1, 10)).unwrap();
    }
    let turns = accounts(&serve(&mut queue, 20));
    assert_eq!(turns.iter().filter(|account| **account == 2).count(), 10);
    assert!(
        turns.windows(3).all(|three| three != [2, 2, 2]),
        "{turns:?}"
    );
}

#[test]
fn who_had_but_one_request_under_way_has_saved_nothing_either() {
    let mut queue = FairQueue::new(1000);
    queue.pass(asked(2, 1, 10));
    for _ in 0..200 {
        queue.push(asked(1, 1, 10)).unwrap();
    }
    serve(&mut queue, 100);
    for _ in 0..50 {
        queue.push(asked(2, 1, 10)).unwrap();
    }
    let turns = accounts(&serve(&mut queue, 20));
    assert_eq!(turns.iter().filter(|account| **account == 2).count(), 10);
}

#[test]
fn what_passed_while_nothing_waited_is_no_debt() {
    let mut queue = FairQueue::new(100);
    for _ in 0..50 {
        queue.pass(asked(1, 1, 1000));
        queue.settle(1, 1000, 1000);
    }
    for _ in 0..4 {
        queue.push(asked(1, 1, 10)).unwrap();
        queue.push(asked(2, 1, 10)).unwrap();
    }
    let turns = accounts(&serve(&mut queue, 8));
    // Its last request counts still, and none before.
    assert_eq!(turns, [2, 2, 2, 2, 1, 1, 1, 1]);
}

#[test]
fn late_and_left_requests_are_not_served_and_not_charged() {
    let mut queue = FairQueue::new(100);
    let late = queue.push(Asked {
        deadline: Duration::from_secs(1),
        ..asked(1, 1, 900)
    });
    let left = queue.push(asked(1, 1, 900)).unwrap().ticket;
    let kept = queue.push(asked(1, 1, 10)).unwrap().ticket;
    assert!(queue.remove(1, left));
    assert!(!queue.remove(1, left), "once");
    assert!(!queue.remove(7, kept), "of another account");
    let now = Duration::from_secs(1);
    let turn = queue.pop(now).unwrap();
    assert_eq!((turn.ticket, turn.charged), (kept, 10));
    assert_eq!(queue.pop(now), None);
    assert_eq!(queue.expire(now), [late.unwrap().ticket]);
    assert!(queue.is_empty());
    queue.settle(1, 10, 10);
    queue.push(asked(1, 1, 10)).unwrap();
    queue.push(asked(2, 1, 10)).unwrap();
    assert_eq!(
        accounts(&serve(&mut queue, 2)),
        [2, 1],
        "10 were charged, not 1810"
    );
}

#[test]
fn a_full_queue_takes_from_the_one_with_the_most() {
    let mut queue = FairQueue::new(4);
    let tickets: Vec<_> = (0..4)
        .map(|_| queue.push(asked(1, 1, 1)).unwrap().ticket)
        .collect();
    assert_eq!(queue.push(asked(1, 1, 1)), Err(Full));
    let second = queue.push(asked(2, 1, 1)).unwrap();
    assert_eq!(second.evicted, Some(tickets[3]), "the newest of the flood");
    assert_eq!(
        queue.push(asked(2, 1, 1)).unwrap().evicted,
        Some(tickets[2])
    );
    assert_eq!(queue.push(asked(2, 1, 1)), Err(Full), "two each");
    assert!(queue.push(asked(3, 2, 1)).unwrap().evicted.is_some());
    assert_eq!(queue.len(), 4);
    assert_eq!(FairQueue::new(0).push(asked(1, 1, 1)), Err(Full));
}

/// Weights, and the cost of each request of each account.
fn backlogs() -> impl Strategy<Value = Vec<(u32, Vec<u64>)>> {
    let costs = prop::collection::vec(1..200u64, 20..60);
    prop::collection::vec((1..=100u32, costs), 2..5)
}

fn filled(backlogs: &[(u32, Vec<u64>)]) -> FairQueue {
    let mut queue = FairQueue::new(usize::MAX);
    for (id, (weight, costs)) in (0..).zip(backlogs) {
        for cost in costs {
            queue.push(asked(id, *weight, *cost)).unwrap();
        }
    }
    queue
}

proptest! {
    /// The bound of the paper, over every span in which all have requests waiting.
    #[test]
    fn shares_differ_by_one_request_of_each_at_most(backlogs in backlogs()) {
        let mut queue = filled(&backlogs);
        let mut left: Vec<usize> = backlogs.iter().map(|(_, costs)| costs.len()).collect();
        let mut given = vec![vec![0.0; backlogs.len()]];
        while left.iter().all(|left| *left > 0) {
            let turn = serve(&mut queue, 1)[0];
            let id = usize::try_from(turn.account).unwrap();
            left[id] -= 1;
            let mut next = given.last().unwrap().clone();
            next[id] += turn.charged as f64 / f64::from(backlogs[id].0);
            given.push(next);
        }
        given.pop();
        let share = |id: usize| {
            let (weight, costs) = &backlogs[id];
            *costs.iter().max().unwrap() as f64 / f64::from(*weight)
        };
        for (start, before) in given.iter().enumerate() {
            for after in &given[start..] {
                let served = |id: usize| after[id] - before[id];
                for id in 1..backlogs.len() {
                    let apart = (served(0) - served(id)).abs();
                    prop_assert!(apart <= share(0) + share(id) + 1e-6, "{apart}");
                }
            }
        }
    }

    /// Weights 1 and 3, real costs known at the end alone, several requests in flight.
    #[test]
    fn with_wrong_estimates_shares_still_follow_the_weights(
        slots in 1..9usize,
        costs in prop::collection::vec(1..200u64, 400..600),
        estimate in 1..400u64,
    ) {
        let mut queue = FairQueue::new(usize::MAX);
        for (id, weight) in [(1, 1), (3, 3)] {
            for _ in 0..costs.len() {
                queue.push(asked(id, weight, estimate)).unwrap();
            }
        }
        let (mut used, mut running) = (BTreeMap::from([(1, 0u64), (3, 0)]), VecDeque::new());
        for cost in &costs {
            if running.len() == slots {
                let (turn, cost): (Turn, u64) = running.pop_front().unwrap();
                queue.settle(turn.account, turn.charged, cost);
            }
            let turn = queue.pop(NOW).unwrap();
            *used.get_mut(&turn.account).unwrap() += *cost;
            running.push_back((turn, *cost));
        }
        let share = used[&3] as f64 / (used[&1] + used[&3]) as f64;
        prop_assert!((share - 0.75).abs() < 0.04, "{share} of 0.75: {used:?}");
    }

    /// Whoever comes anew waits for one request of each of the others at most, however long
    /// their queues are, and whatever happened before.
    #[test]
    fn nobody_starves(backlogs in backlogs(), before in 0..100usize, weight in 1..=100u32) {
        let mut queue = filled(&backlogs);
        serve(&mut queue, before);
        let light = queue.push(asked(99, weight, 1_000_000)).unwrap();
        let turns = serve(&mut queue, backlogs.len() + 1);
        let at = turns.iter().position(|turn| turn.ticket == light.ticket);
        prop_assert!(at.is_some(), "{turns:?}");
    }

    /// Each request comes out once: served, left, late or evicted.
    #[test]
    fn nothing_is_lost_and_nothing_twice(
        capacity in 0..20usize,
        steps in prop::collection::vec((0..5u8, 0..4u64, 1..5u32, 0..50u64), 1..200),
    ) {
        let mut queue = FairQueue::new(capacity);
        let mut inside: BTreeMap<u64, AccountId> = BTreeMap::new();
        let mut now = Duration::ZERO;
        for (step, account, weight, cost) in steps {
            let deadline = now + Duration::from_secs(cost);
            let asked = Asked { account, weight, cost, deadline };
            match step {
                0 | 1 => if let Ok(queued) = queue.push(asked) {
                    if let Some(evicted) = queued.evicted {
                        prop_assert_ne!(inside.remove(&evicted), Some(account));
                    }
                    prop_assert!(inside.insert(queued.ticket, account).is_none());
                },
                2 => if let Some(turn) = queue.pop(now) {
                    prop_assert_eq!(inside.remove(&turn.ticket), Some(turn.account));
                    queue.settle(turn.account, turn.charged, cost);
                },
                3 => if let Some((ticket, account)) = inside.pop_first() {
                    prop_assert!(queue.remove(account, ticket));
                },
                _ => {
                    now += Duration::from_secs(cost / 5);
                    for ticket in queue.expire(now) {
                        prop_assert!(inside.remove(&ticket).is_some());
                    }
                }
            }
            prop_assert_eq!(queue.len(), inside.len());
            prop_assert!(queue.len() <= capacity);
        }
        while let Some(turn) = queue.pop(now) {
            prop_assert!(inside.remove(&turn.ticket).is_some());
        }
        prop_assert_eq!(queue.expire(Duration::MAX).len(), inside.len());
    }
}
