use super::*;

fn drawing(seed: u64) -> Sampling {
    Sampling {
        seed: Some(seed),
        ..Sampling::default()
    }
}

fn top_p(top_p: f32, temperature: f32, seed: u64) -> Sampling {
    Sampling {
        temperature,
        top_p,
        ..drawing(seed)
    }
}

fn logits(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37) % 101) as f32 / 20.0).collect()
}

fn draws(sampling: &Sampling, logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling, &[]);
    (0..count)
        .map(|_| sampler.sample(logits).unwrap())
        .collect()
}

fn likeliest(sampling: &Sampling, prompt: &[u32], logits: &[f32]) -> u32 {
    Sampler::new(sampling, prompt).sample(logits).unwrap()
}

#[test]
fn temperature_zero_takes_the_likeliest_and_of_equals_the_first() {
    let greedy = Sampling::greedy();
    assert_eq!(likeliest(&greedy, &[], &[0.5, 2.0, 2.0, -1.0]), 1);
    let broken = [f32::NAN, -5.0, f32::NEG_INFINITY];
    assert_eq!(likeliest(&greedy, &[], &broken), 1);
    assert_eq!(draws(&drawing(1), &broken, 20), [1; 20]);
}

#[test]
fn logits_without_a_number_are_an_error() {
    let broken = [f32::NAN, f32::NEG_INFINITY];
    for sampling in [Sampling::greedy(), top_p(0.5, 1.0, 1)] {
        let mut sampler = Sampler::new(&sampling, &[]);
        assert_eq!(sampler.sample(&broken), Err(NoFiniteLogit));
        assert_eq!(sampler.sample(&[]), Err(NoFiniteLogit));
    }
}

#[test]
fn a_seed_fixes_the_draws() {
    let logits = logits(500);
    let first = draws(&top_p(0.9, 1.0, 7), &logits, 50);
    assert_eq!(first, draws(&top_p(0.9, 1.0, 7), &logits, 50));
    assert_ne!(first, draws(&top_p(0.9, 1.0, 8), &logits, 50));
}

#[test]
fn several_answers_have_seeds_of_their_own_and_the_first_that_of_the_request() {
    let sampling = drawing(u64::MAX);
    assert_eq!(sampling.clone().of_answer(0), sampling);
    assert_eq!(sampling.of_answer(2).seed, Some(1));
    assert_eq!(Sampling::default().of_answer(2).seed, None);
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [0.0, 2.0f32.ln(), f32::NEG_INFINITY, 0.0];
    let drawn = draws(&drawing(3), &logits, 8000);
    let share = |token| drawn.iter().filter(|t| **t == token).count() as f64 / 8000.0;
    assert!((share(1) - 0.5).abs() < 0.03);
    assert!((share(0) - 0.25).abs() < 0.03);
    assert_eq!(share(2), 0.0);
}

#[test]
fn a_low_temperature_prefers_the_likelier() {
    let logits = [0.0, 2.0f32.ln()];
    let cold = Sampling {
        temperature: 0.25,
        ..drawing(3)
    };
    let drawn = draws(&cold, &logits, 8000);
    // 2⁴ to 1.
    let share = drawn.iter().filter(|token| **token == 1).count() as f64 / 8000.0;
    assert!((share - 16.0 / 17.0).abs() < 0.01, "{share}");
}

#[test]
fn top_p_keeps_the_fewest_tokens_that_reach_it() {
    let probabilities = [0.1f32, 0.5, 0.3, 0.1];
    let logits = probabilities.map(f32::ln);
    let drawn = draws(&top_p(0.7, 1.0, 5), &logits, 500);
    assert!(drawn.iter().all(|token| [1, 2].contains(token)));
    assert!(drawn.contains(&1) && drawn.contains(&2));
    let narrow = draws(&top_p(0.01, 1.5, 5), &logits, 50);
    assert!(narrow.iter().all(|token| *token == 1));
}

#[test]
fn a_nucleus_wider_than_the_first_look_is_found() {
    let flat = vec![0.0f32; 5000];
    let drawn = draws(&top_p(0.9, 1.0, 1), &flat, 4000);
    assert!(drawn.iter().any(|token| *token > 2100));
    assert!(drawn.iter().all(|token| *token < 4510));
}

#[test]
fn top_k_keeps_so_many_and_min_p_those_that_are_near_the_likeliest() {
    let logits = [0.1f32, 0.4, 0.3, 0.2].map(f32::ln);
    let kept = |sampling: &Sampling| {
        let mut drawn = draws(sampling, &logits, 400);
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    };
    let top_k = |top_k| Sampling {
        top_k: Some(top_k),
        ..drawing(1)
    };
    assert_eq!(kept(&top_k(1)), [1]);
    assert_eq!(kept(&top_k(3)), [1, 2, 3]);
    assert_eq!(kept(&top_k(9)), [0, 1, 2, 3]);
    let min_p = |min_p| Sampling {
        min_p,
        ..drawing(1)
    };
    assert_eq!(kept(&min_p(0.7)), [1, 2]);
    assert_eq!(kept(&min_p(1.0)), [1]);
    // The nucleus is one of what the others left: 0.55 of 0.7.
    let both = Sampling {
        top_p: 0.55,
        ..top_k(2)
    };
    assert_eq!(kept(&both), [1]);
}

#[test]
fn a_bias_favours_a_token_and_rules_one_out() {
    let logits = [1.0, 3.0, 2.0];
    let biased = |logit_bias: &[(u32, f32)]| Sampling {
        logit_bias: logit_bias.to_vec(),
        ..Sampling::greedy()
    };
    assert_eq!(likeliest(&biased(&[(0, 5.0)]), &[], &logits), 0);
    assert_eq!(likeliest(&biased(&[(1, -100.0)]), &[], &logits), 2);
    assert_eq!(likeliest(&biased(&[(9, 100.0)]), &[], &logits), 1);
}

#[test]
fn what_was_written_is_written_less() {
    let logits = [1.0, 2.0, 1.5];
    let presence = Sampling {
        presence_penalty: 0.75,
        ..Sampling::greedy()
    };
    assert_eq!(draws(&presence, &logits, 4), [1, 2, 1, 1]);
    let frequency = Sampling {
        frequency_penalty: 0.3,
        ..Sampling::greedy()
    };
    assert_eq!(draws(&frequency, &logits, 5), [1, 1, 2, 1, 2]);
    // A prompt was not written.
    assert_eq!(likeliest(&presence, &[1], &logits), 1);
}

#[test]
fn a_repetition_counts_once_in_the_prompt_as_in_the_answer() {
    let repetition = Sampling {
        repetition_penalty: 2.0,
        ..Sampling::greedy()
    };
    assert_eq!(draws(&repetition, &[1.0, 1.9, 1.5], 3), [1, 2, 0]);
    assert_eq!(likeliest(&repetition, &[1, 1], &[1.0, 1.9, 0.5]), 0);
    // Below 0 a logit is multiplied, so that it goes down too.
    assert_eq!(likeliest(&repetition, &[0], &[-1.0, -1.5]), 1);
}
