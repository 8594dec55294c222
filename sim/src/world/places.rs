//! Places for replicas, where there is not room for any number of them.

use chandler_core::snapshot::RoomSeen;
use chandler_core::world::Failure;

use super::SimWorld;
use crate::replica::Replica;

/// So many replicas may be there at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// How many. One that has a place keeps it, even if there are fewer by now.
    pub count: usize,
    /// What a replica without a place tells, such as `Unschedulable`.
    pub reason: String,
}

impl Places {
    fn failure(&self) -> Failure {
        Failure {
            reason: self.reason.clone(),
            message: format!("all {} places are taken", self.count),
            transient: true,
        }
    }
}

impl SimWorld {
    /// Lets there be so many places from now on.
    pub fn set_places(&mut self, places: Option<Places>) {
        self.places = places;
        self.place();
    }

    /// Gives the free places to replicas that have none.
    pub(super) fn place(&mut self) {
        let mut free = self.free();
        let failure = self.places.as_ref().map(Places::failure);
        let replicas = self.revisions.values_mut().flat_map(|it| &mut it.replicas);
        for replica in replicas.filter(|it| !it.has_place()) {
            match &failure {
                Some(failure) if free == 0 => replica.wait(self.now, failure),
                _ => {
                    free = free.saturating_sub(1);
                    replica.place(self.now, self.start_delay);
                }
            }
        }
    }

    pub(super) fn room(&self) -> Option<RoomSeen> {
        let places = self.places.as_ref()?;
        Some(RoomSeen {
            replicas: u32::try_from(self.free()).unwrap_or(u32::MAX),
            short_of: Some(places.failure().message),
        })
    }

    fn free(&self) -> usize {
        let replicas = self.revisions.values().flat_map(|it| &it.replicas);
        let taken = replicas.filter(|it| Replica::has_place(it)).count();
        let count = self.places.as_ref().map_or(usize::MAX, |it| it.count);
        count.saturating_sub(taken)
    }
}
