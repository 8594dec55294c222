//! Lines of a chart: values over time, thinned to what an eye can see.

use std::time::Duration;

use crate::traffic::Sample;

/// Most points of a line.
pub(super) const MOST_POINTS: usize = 600;

/// A value over time; where there is none, the line has a gap.
pub(super) type Points = Vec<(Duration, Option<f64>)>;

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// Its policy's place among all, which gives its colour.
    pub(super) series: usize,
    /// Whether a value holds until the next one.
    pub(super) steps: bool,
    pub(super) dashed: bool,
    pub(super) points: Points,
}

impl Line {
    /// Of one value of each sample.
    pub(super) fn of(
        series: usize,
        samples: &[Sample],
        value: impl Fn(&Sample) -> Option<f64>,
    ) -> Self {
        let points = samples.iter().map(|it| (it.at, value(it))).collect();
        Self {
            series,
            steps: false,
            dashed: false,
            points: thinned(points, MOST_POINTS),
        }
    }

    /// Its finite values.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let values = self.points.iter().filter_map(|(_, value)| *value);
        values.filter(|value| value.is_finite())
    }
}

/// At most `most` points. Of each stretch of them the least and the greatest stay, in their order,
/// so that no peak is lost; a stretch without any value stays a gap.
pub(super) fn thinned(points: Points, most: usize) -> Points {
    if points.len() <= most {
        return points;
    }
    let stretch = points.len().div_ceil((most / 2).max(1));
    points.chunks(stretch).flat_map(extremes).collect()
}

fn extremes(points: &[(Duration, Option<f64>)]) -> Points {
    let values = points.iter().enumerate();
    let values = values.filter_map(|(index, (_, value))| value.map(|value| (index, value)));
    let least = values
        .clone()
        .min_by(|one, other| one.1.total_cmp(&other.1));
    let greatest = values.max_by(|one, other| one.1.total_cmp(&other.1));
    let (Some((least, _)), Some((greatest, _))) = (least, greatest) else {
        return points[..1].to_vec();
    };
    let mut kept = vec![least.min(greatest), least.max(greatest)];
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Option<f64>]) -> Points {
        let points = (0..).map(Duration::from_secs).zip(values.iter().copied());
        points.collect()
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points = of(&[Some(1.0), None, Some(2.0)]);
        assert_eq!(thinned(points.clone(), 3), points);
    }

    #[test]
    fn extremes_stay_in_their_order() {
        let values = [3.0, 9.0, 4.0, 1.0, 5.0, 5.0, 2.0, 6.0].map(Some);
        let thin = thinned(of(&values), 4);
        let kept: Vec<_> = thin
            .iter()
            .map(|(at, value)| (at.as_secs(), *value))
            .collect();
        let wanted = [
            (1, Some(9.0)),
            (3, Some(1.0)),
            (6, Some(2.0)),
            (7, Some(6.0)),
        ];
        assert_eq!(kept, wanted);
        let even = thinned(of(&[Some(1.0); 8]), 4);
        assert!(even.len() <= 4, "{even:?}");
    }

    #[test]
    fn a_stretch_without_values_stays_a_gap() {
        let values = [Some(1.0), Some(2.0), None, None, None, Some(3.0)];
        let thin = thinned(of(&values), 4);
        let kept: Vec<_> = thin.iter().map(|(_, value)| *value).collect();
        assert_eq!(kept, [Some(1.0), Some(2.0), Some(3.0)]);
        let begin = [Some(1.0), Some(1.5), Some(2.0)];
        let apart = [&begin[..], &[None; 3], &[Some(4.0), Some(3.0)]].concat();
        let thin = thinned(of(&apart), 6);
        let kept: Vec<_> = thin.iter().map(|(_, value)| *value).collect();
        assert_eq!(kept, [Some(1.0), Some(2.0), None, Some(4.0), Some(3.0)]);
    }

    #[test]
    fn a_long_run_has_few_points_and_its_peak() {
        let mut values = vec![Some(1.0); 100_000];
        values[77_777] = Some(50.0);
        let thin = thinned(of(&values), MOST_POINTS);
        assert!(thin.len() <= MOST_POINTS);
        assert!(thin.contains(&(Duration::from_secs(77_777), Some(50.0))));
    }
}
