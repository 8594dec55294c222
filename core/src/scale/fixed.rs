use crate::snapshot::Snapshot;

/// With no signal the count stays where it is, within its bounds: missing data never scales
/// down. A model that has no replica yet starts with one, or it could never be measured.
pub(super) fn held(min: u32, max: u32, seen: &Snapshot) -> u32 {
    let now = seen
        .revisions
        .values()
        .map(|revision| revision.desired)
        .max()
        .unwrap_or(1);
    now.max(1).clamp(min, max.max(min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::RevisionSeen;

    fn seen(desired: u32) -> Snapshot {
        let revision = RevisionSeen {
            desired,
            ..RevisionSeen::default()
        };
        Snapshot {
            revisions: [("a".to_owned(), revision)].into(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn holds_within_bounds() {
        for (min, max, now, held_at) in [
            (1, 4, 2, 2),
            (3, 4, 2, 3),
            (1, 4, 9, 4),
            (0, 4, 0, 1),
            (0, 0, 2, 0),
        ] {
            assert_eq!(held(min, max, &seen(now)), held_at, "{min}..{max} at {now}");
        }
        assert_eq!(held(0, 4, &Snapshot::default()), 1);
    }
}
