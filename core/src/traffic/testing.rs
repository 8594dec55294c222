//! What the tests of this folder share.

#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use super::affinity::mix;
use super::{Ask, Draws, Endpoint, Load, ModelRoute, Place, RevisionRoute};

/// A model's route, from (revision, weight, ready replicas). The replicas of `r` are `r-0`, `r-1`
/// and so on.
pub(super) fn route(revisions: &[(&str, u32, usize)]) -> ModelRoute {
    let revisions = revisions.iter().zip(0..);
    ModelRoute {
        key: "default/chat".into(),
        served_name: "chat".into(),
        revisions: revisions
            .map(|(&(revision, weight, count), number)| RevisionRoute {
                revision: revision.into(),
                weight,
                endpoints: (0..count).map(|i| endpoint(revision, number, i)).collect(),
            })
            .collect(),
        ..ModelRoute::default()
    }
}

fn endpoint(revision: &str, number: u32, index: usize) -> Endpoint {
    let host = u32::try_from(index).unwrap();
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + (number << 16) + host);
    Endpoint {
        id: format!("{revision}-{index}"),
        addr: (ip, 8000).into(),
    }
}

/// Ids as [`Ask::tried`] has them.
pub(super) fn names(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// A replica that works on requests.
pub(super) fn busy(in_flight: u32) -> Load {
    Load {
        in_flight,
        ..Load::default()
    }
}

/// The name of a replica.
pub(super) fn id(route: &ModelRoute, place: Place) -> &str {
    &route.revisions[place.revision].endpoints[place.endpoint].id
}

/// Numbers that look random, the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.number() % count as u64).unwrap()
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A request without wishes.
    pub(super) fn ask(&mut self) -> Ask<'static> {
        let (revision, replica) = (self.unit(), self.number());
        Ask {
            draws: Draws { revision, replica },
            ..Ask::default()
        }
    }
}
