//! The decoder against llama.cpp: the same prompt tokens give the same greedy tokens.

mod models;

use candle_core::{Result, Tensor};
use chandler_server::load::TextModel;
use chandler_server::models::Chunk;
use serde::Deserialize;

/// Where two candidates lie closer than this, the order of additions decides between them.
const ROUNDING: f32 = 0.05;

#[derive(Deserialize)]
struct Fixture<T> {
    cases: Vec<T>,
}

/// A run of llama.cpp on the file as it is. It rounds what flows through the network to 8 bits,
/// which moves the logits of so small a model by tenths: it parts from itself by more than
/// [`ROUNDING`] when only the type of its cache changes.
#[derive(Deserialize)]
struct Quantized {
    prompt: String,
    prompt_ids: Vec<u32>,
    tokens: Vec<u32>,
    /// The best logit, the second best, and the id of the second best.
    top2: Vec<(f32, f32, u32)>,
}

/// Runs of llama.cpp on the same weights, widened to f32, without such rounding: what we compute with
/// `dtype: f32`.
#[derive(Deserialize)]
struct Exact {
    tokens: Vec<u32>,
    /// Between the best and the second-best logit of each step.
    gaps: Vec<f32>,
    /// Along the tokens of [`Quantized`]: the best token, its logit, the given token's logit.
    forced: Vec<(u32, f32, f32)>,
    /// How far llama.cpp on the file as it is parts from itself.
    cache_noise: f32,
}

fn cases() -> Vec<(Quantized, Exact)> {
    let quantized: Fixture<Quantized> =
        serde_json::from_str(include_str!("fixtures/smollm2_greedy.json")).expect("a fixture");
    let exact: Fixture<Exact> =
        serde_json::from_str(include_str!("fixtures/smollm2_exact.json")).expect("a fixture");
    assert_eq!(quantized.cases.len(), 5);
    assert_eq!(exact.cases.len(), 5);
    quantized.cases.into_iter().zip(exact.cases).collect()
}

/// Feeds what was said so far and gives the logits that follow.
fn next(model: &mut TextModel, tokens: &[u32], position: usize) -> Vec<f32> {
    let logits = alone(model, tokens, position).expect("logits");
    assert_eq!(logits.dims(), [1, model.vocab_size]);
    logits
        .get(0)
        .and_then(|row| row.to_vec1())
        .expect("a vector of floats")
}

/// A step of one sequence that has the cache for itself.
fn alone(model: &mut TextModel, tokens: &[u32], position: usize) -> Result<Tensor> {
    let blocks: Vec<u32> = (0..model.lm.cache().blocks).collect();
    model.lm.forward(&[chunk(tokens, position, &blocks)])
}

fn chunk<'a>(tokens: &'a [u32], position: usize, blocks: &'a [u32]) -> Chunk<'a> {
    Chunk {
        tokens,
        position,
        blocks,
        writes: true,
    }
}

fn best(logits: &[f32]) -> u32 {
    let best = (0u32..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1));
    best.expect("a vocabulary").0
}

/// The greedy answer and the logits before each of its tokens; `path` overrides the choice.
fn run(model: &mut TextModel, prompt: &[u32], steps: usize, path: Option<&[u32]>) -> Run {
    let mut run = Run::default();
    let mut logits = next(model, prompt, 0);
    for step in 0..steps {
        let token = best(&logits);
        run.best.push(token);
        run.logits.push(logits);
        let fed = path.map_or(token, |path| path[step]);
        logits = next(model, &[fed], prompt.len() + step);
    }
    run
}

#[derive(Default)]
struct Run {
    best: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

impl Run {
    /// By how much our choice at `step` beats `token`.
    fn gap(&self, step: usize, token: u32) -> f32 {
        self.logits[step][self.best[step] as usize] - self.logits[step][token as usize]
    }
}

#[test]
fn prompts_become_the_same_ids() {
    let model = models::smollm2();
    for (case, _) in cases() {
        let ids = model.encode(&case.prompt).expect("ids");
        assert_eq!(ids, case.prompt_ids, "{:?}", case.prompt);
    }
}

#[test]
fn answers_equal_those_of_llama_cpp_on_the_same_weights() {
    let mut model = models::smollm2_widened();
    for (case, exact) in cases() {
        assert_eq!(exact.tokens.len(), 64);
        let run = run(&mut model, &case.prompt_ids, exact.tokens.len(), None);
        let pairs = run.best.iter().zip(&exact.tokens);
        let alike = pairs.take_while(|(a, b)| a == b).count();
        println!(
            "{:?}: {alike} of {} tokens alike",
            case.prompt,
            run.best.len()
        );
        if alike < exact.tokens.len() {
            let (here, there) = (run.gap(alike, exact.tokens[alike]), exact.gaps[alike]);
            println!("  parted by {here:.4} here, {there:.4} there");
            assert!(here < ROUNDING, "parted at {alike} by {here}");
        }
    }
}

#[test]
fn along_the_quantised_answers_logits_equal_those_of_llama_cpp_on_the_same_weights() {
    let mut model = models::smollm2_widened();
    let mut most = 0f32;
    for (case, exact) in cases() {
        let steps = case.tokens.len();
        let run = run(&mut model, &case.prompt_ids, steps, Some(&case.tokens));
        for (step, &(token, best, given)) in exact.forced.iter().enumerate() {
            let logits = &run.logits[step];
            let moved = [
                logits[token as usize] - best,
                logits[case.tokens[step] as usize] - given,
            ];
            most = moved.iter().fold(most, |most, m| most.max(m.abs()));
            let gap = run.gap(step, token);
            assert!(gap < ROUNDING, "step {step} of {:?}: {gap}", case.prompt);
        }
    }
    println!("logits moved by at most {most:.5}");
    assert!(most < ROUNDING, "logits moved by {most}");
}

/// Where we part from llama.cpp on the file as it is by more than rounding, llama.cpp parts from
/// itself: on the same weights without its 8-bit rounding it chooses as we do.
#[test]
fn from_quantised_answers_only_their_own_rounding_parts_us() {
    let mut model = models::smollm2_widened();
    for (case, exact) in cases() {
        let steps = case.tokens.len();
        let run = run(&mut model, &case.prompt_ids, steps, Some(&case.tokens));
        let mut alike = 0;
        for (step, &token) in case.tokens.iter().enumerate() {
            if run.best[step] == token {
                alike += 1;
                continue;
            }
            let here = run.gap(step, token);
            let there = case.top2[step].0 - case.top2[step].1;
            let itself = exact.forced[step].1 - exact.forced[step].2;
            println!(
                "  step {step}: {} instead of {token}; gap {here:.4} here, {there:.4} there to {}, \
                 {itself:.4} between llama.cpp and itself",
                run.best[step], case.top2[step].2
            );
            assert!(here < ROUNDING || exact.forced[step].0 == run.best[step]);
        }
        println!(
            "{:?}: {alike} of {steps} steps alike; with another cache it parts from itself by {:.4}",
            case.prompt, exact.cache_noise
        );
    }
}

/// As the file is, both round what flows through the network to 8 bits, and each rounding that falls the other way
/// moves the logits of so small a model by tenths.
#[test]
fn along_quantised_answers_we_part_from_llama_cpp_seldom_and_by_little() {
    const APART: f32 = 0.3;
    let mut model = models::smollm2();
    let (mut alike, mut all) = (0, 0);
    for (case, _) in cases() {
        let steps = case.tokens.len();
        let run = run(&mut model, &case.prompt_ids, steps, Some(&case.tokens));
        for (step, &token) in case.tokens.iter().enumerate() {
            let gap = run.gap(step, token);
            assert!(gap < APART, "step {step} of {:?}: {gap}", case.prompt);
            alike += u32::from(run.best[step] == token);
            all += 1;
        }
    }
    println!("{alike} of {all} steps alike");
    assert!(alike * 100 >= all * 95, "{alike} of {all} steps alike");
}

#[test]
fn a_prompt_in_parts_gives_the_logits_of_the_whole() {
    let mut model = models::smollm2();
    // Longer than what is computed at once, so that the whole has parts of its own.
    let ids: Vec<u32> = cases()[0]
        .0
        .prompt_ids
        .iter()
        .copied()
        .cycle()
        .take(400)
        .collect();
    let whole = next(&mut model, &ids, 0);
    let (head, tail) = ids.split_at(150);
    next(&mut model, head, 0);
    let parts = next(&mut model, tail, head.len());
    assert_eq!(whole, parts);
}

#[test]
fn a_sequence_leaves_nothing_behind_for_the_next() {
    let mut model = models::smollm2();
    let cases = cases();
    let first = next(&mut model, &cases[0].0.prompt_ids, 0);
    next(&mut model, &cases[1].0.prompt_ids, 0);
    let again = next(&mut model, &cases[0].0.prompt_ids, 0);
    assert_eq!(first, again);
}

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let mut model = models::smollm2();
    let context = model.lm.context();
    assert!(alone(&mut model, &[], 0).is_err());
    let unknown = u32::try_from(model.vocab_size).expect("a small vocabulary");
    assert!(alone(&mut model, &[unknown], 0).is_err());
    assert!(alone(&mut model, &vec![1; context + 1], 0).is_err());
    let beyond = model.lm.cache().blocks;
    assert!(model.lm.forward(&[chunk(&[1], 0, &[beyond])]).is_err());
    assert!(model.lm.forward(&[chunk(&[1], 0, &[])]).is_err());
    next(&mut model, &[1], 0);
}

/// Sequences of different lengths, in blocks that lie anywhere, some in chunks, some with a beginning that
/// another computed: the logits are those of each alone.
#[test]
fn what_is_beside_a_sequence_changes_none_of_its_logits() {
    let mut model = models::smollm2();
    let prompts: Vec<Vec<u32>> = cases()
        .into_iter()
        .map(|(case, _)| case.prompt_ids)
        .collect();
    let expected: Vec<Vec<f32>> = prompts.iter().map(|ids| next(&mut model, ids, 0)).collect();
    let size = model.lm.cache().block_tokens;
    // Every fifth block, so that those of several sequences lie between each other.
    let blocks: Vec<Vec<u32>> = (0..prompts.len() as u32)
        .map(|first| (0..20).map(|at| first + 5 * at).collect())
        .collect();
    let steps = prompts.iter().zip(&blocks);
    let chunks: Vec<_> = steps.map(|(ids, blocks)| chunk(ids, 0, blocks)).collect();
    let together = model.lm.forward(&chunks).expect("logits");
    let together: Vec<Vec<f32>> = together.to_vec2().expect("rows");
    for (alone, together) in expected.iter().zip(&together) {
        assert_eq!(alone, together);
    }
    // The end of the first beside the whole of the second, after a step without logits.
    let (head, tail) = prompts[0].split_at(size + 1);
    let silent = Chunk {
        writes: false,
        ..chunk(head, 0, &blocks[0])
    };
    let none = model.lm.forward(&[silent]).expect("no logits");
    assert_eq!(none.dims(), [0, model.vocab_size]);
    // The third begins as the first, in its block.
    let third = [&prompts[0][..size], &prompts[1][..4]].concat();
    let shared: Vec<u32> = [&blocks[0][..1], &blocks[2][1..]].concat();
    let both = [
        chunk(tail, head.len(), &blocks[0]),
        chunk(&prompts[1], 0, &blocks[1]),
        chunk(&third[size..], size, &shared),
    ];
    let both = model.lm.forward(&both).expect("logits");
    let both: Vec<Vec<f32>> = both.to_vec2().expect("rows");
    assert_eq!(expected[0], both[0]);
    assert_eq!(expected[1], both[1]);
    assert_eq!(next(&mut model, &third, 0), both[2]);
}
