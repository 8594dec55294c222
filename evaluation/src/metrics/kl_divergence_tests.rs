#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// All tokens of a distribution, the likeliest first.
fn sorted(probabilities: &[f64]) -> Vec<Likely> {
    let tokens = probabilities.iter().enumerate();
    let mut likely: Vec<_> = tokens
        .map(|(token, probability)| Likely {
            token: token.to_string(),
            logprob: probability.ln(),
        })
        .collect();
    likely.sort_by(|a, b| b.logprob.total_cmp(&a.logprob));
    likely
}

fn top(stable: &[f64], canary: &[f64], count: usize) -> Position {
    let mut position = Position {
        stable: sorted(stable),
        canary: sorted(canary),
    };
    position.stable.truncate(count);
    position.canary.truncate(count);
    position
}

/// The divergence of the distributions themselves.
fn whole(stable: &[f64], canary: &[f64]) -> f64 {
    stable
        .iter()
        .zip(canary)
        .map(|(p, q)| p * (p / q).ln())
        .sum()
}

/// One bucket for all but the common tokens.
fn lumped(position: &Position) -> f64 {
    let told = |tokens: &[Likely]| -> BTreeMap<String, f64> {
        let tokens = tokens.iter();
        tokens
            .map(|likely| (likely.token.clone(), likely.logprob.exp()))
            .collect()
    };
    let (p, q) = (told(&position.stable), told(&position.canary));
    let (mut sum, mut p_rest, mut q_rest) = (0.0, 1.0, 1.0);
    for (token, p) in &p {
        if let Some(q) = q.get(token) {
            sum += p * (p / q).ln();
            p_rest -= p;
            q_rest -= q;
        }
    }
    sum + term(p_rest, q_rest.max(ROUNDING))
}

fn distribution() -> impl Strategy<Value = Vec<f64>> {
    // Powers make some of them sharp.
    let raw = proptest::collection::vec(0.02_f64..1.0, 12);
    (raw, 1.0_f64..6.0).prop_map(|(raw, power)| {
        let raised: Vec<_> = raw.iter().map(|value| value.powf(power)).collect();
        let sum: f64 = raised.iter().sum();
        raised.iter().map(|value| value / sum).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_bounds_the_whole_from_below(
        stable in distribution(), canary in distribution(), count in 1_usize..=12,
    ) {
        let position = top(&stable, &canary, count);
        let bound = divergence(&position).unwrap();
        let whole = whole(&stable, &canary);
        prop_assert!(bound >= 0.0);
        prop_assert!(bound <= whole + 1e-9, "{bound} of {whole}");
        prop_assert!(bound >= lumped(&position) - 1e-9, "{bound} below {}", lumped(&position));
        // What rounding is allowed for costs this much at most.
        if count == 12 {
            prop_assert!((bound - whole).abs() < 1e-5, "{bound} of {whole}");
        }
    }

    #[test]
    fn no_values_within_the_bounds_diverge_less(
        stable in distribution(), canary in distribution(),
        count in 1_usize..=8, s in 0.0_f64..=1.0, t in 0.0_f64..=1.0,
    ) {
        let position = top(&stable, &canary, count);
        let (p, q) = (Told::new(&position.stable).unwrap(), Told::new(&position.canary).unwrap());
        let (count_s, p_of_s) = p.alone(&q);
        let (count_t, q_of_t) = q.alone(&p);
        let unknown = Unknown {
            p_of_s,
            q_of_t,
            p_rest: p.rest,
            q_rest: q.rest,
            q_of_s_most: (count_s as f64 * q.least).min(q.rest),
            p_of_t_most: (count_t as f64 * p.least).min(p.rest),
        };
        let other = unknown.divergence(s * unknown.q_of_s_most, t * unknown.p_of_t_most);
        prop_assert!(unknown.least_divergence() <= other + 1e-9);
    }

    #[test]
    fn a_distribution_does_not_diverge_from_itself(stable in distribution(), count in 1_usize..=12) {
        prop_assert!(divergence(&top(&stable, &stable, count)).unwrap() < 1e-12);
    }
}

#[test]
fn revisions_that_agree_on_nothing_diverge() {
    let sharp = [0.96, 0.02, 0.01, 0.005, 0.003, 0.002];
    let reversed = [0.002, 0.003, 0.005, 0.01, 0.02, 0.96];
    let position = top(&sharp, &reversed, 2);
    assert!(lumped(&position).abs() < 1e-9);
    let bound = divergence(&position).unwrap();
    assert!(bound > 2.0, "{bound} of {}", whole(&sharp, &reversed));
    assert!(bound <= whole(&sharp, &reversed));
}

#[test]
fn two_known_distributions_have_their_textbook_divergence() {
    let bound = divergence(&top(&[0.5, 0.5], &[0.25, 0.75], 2)).unwrap();
    let expected = 0.5 * 2.0_f64.ln() + 0.5 * (2.0_f64 / 3.0).ln();
    assert!((bound - expected).abs() < 1e-12);
}

#[test]
fn what_is_no_distribution_is_refused() {
    let likely = |token: &str, logprob| Likely {
        token: token.to_owned(),
        logprob,
    };
    let refused = |stable: Vec<Likely>| {
        let canary = vec![likely("a", -0.1)];
        let position = Position { stable, canary };
        statistics(&[position], 1.0).unwrap_err()
    };
    assert_eq!(refused(vec![]), Problem::NoTokens);
    assert_eq!(
        refused(vec![likely("a", -1.0), likely("a", -2.0)]),
        Problem::TokenTwice {
            token: "a".to_owned()
        }
    );
    assert_eq!(
        refused(vec![likely("a", f64::NEG_INFINITY)]),
        Problem::NotFinite
    );
    let sum = (-0.1_f64).exp() + (-0.2_f64).exp();
    assert_eq!(
        refused(vec![likely("a", -0.1), likely("b", -0.2)]),
        Problem::OverOne { sum }
    );
    // An impossible token does not make the rest infinite.
    let position = Position {
        stable: vec![likely("a", -0.1)],
        canary: vec![likely("a", -9999.0), likely("b", 0.0)],
    };
    let sum = statistics(&[position], 1.0).unwrap();
    assert!(sum[0] > 20.0 && sum[0].is_finite());
}
