//! Questions of mixed lengths, the same in each run.

use serde_json::{Value, json};

/// The name that the model is served under.
pub(super) const NAME: &str = "m";
/// About one token each.
const WORDS: [&str; 16] = [
    "the", "river", "old", "stone", "rain", "over", "fox", "garden", "light", "was", "quiet",
    "when", "they", "house", "near", "green",
];
/// Tokens of the shortest and the longest prompts and answers; short ones are as frequent as long ones by the
/// order of magnitude.
const PROMPTS: (f64, f64) = (16.0, 2048.0);
const ANSWERS: (f64, f64) = (8.0, 256.0);
/// The share of clients that leave before the end.
const LEAVERS: f64 = 0.1;

/// Random numbers that are the same for the same seed: splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From 0 to 1.
    #[allow(clippy::cast_precision_loss)]
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// As likely between 10 and 20 as between 100 and 200.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn length(&mut self, (least, most): (f64, f64)) -> usize {
        (least * (most / least).powf(self.share())) as usize
    }
}

/// A question, and how it is read.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) body: Value,
    /// The client leaves after so many events; `None` where it stays to the end.
    pub(super) leaves_after: Option<usize>,
}

/// Any of the crowd's.
pub(super) fn of_crowd(dice: &mut Dice) -> Question {
    let prompt = dice.length(PROMPTS);
    let answer = dice.length(ANSWERS);
    let leaves = dice.share() < LEAVERS;
    Question {
        body: body(&text(dice, prompt), answer),
        leaves_after: leaves.then(|| dice.length((1.0, 32.0))),
    }
}

/// About so many tokens that nobody has asked before.
pub(super) fn text(dice: &mut Dice, tokens: usize) -> String {
    let word = |_| WORDS[usize::try_from(dice.bits() % 16).unwrap_or_default()];
    let words: Vec<&str> = (0..tokens).map(word).collect();
    words.join(" ")
}

/// A streamed completion of exactly so many tokens.
pub(super) fn body(prompt: &str, tokens: usize) -> Value {
    json!({
        "model": NAME,
        "prompt": prompt,
        "max_tokens": tokens,
        // What ends a text in this model's vocabulary.
        "logit_bias": {"0": -100, "2": -100},
        "temperature": 0,
        "stream": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_asks_the_same_within_bounds() {
        let all = |seed| {
            let mut dice = Dice::new(seed);
            (0..200).map(|_| of_crowd(&mut dice)).collect::<Vec<_>>()
        };
        let (one, again, other) = (all(1), all(1), all(2));
        let bodies = |all: &[Question]| all.iter().map(|it| it.body.clone()).collect::<Vec<_>>();
        assert_eq!(bodies(&one), bodies(&again));
        assert_ne!(bodies(&one), bodies(&other));
        for question in &one {
            let words = question.body["prompt"]
                .as_str()
                .map(|it| it.split(' ').count());
            assert!(words.is_some_and(|words| (16..=2048).contains(&words)));
        }
        let leavers = one.iter().filter(|it| it.leaves_after.is_some()).count();
        assert!((5..50).contains(&leavers), "{leavers}");
    }
}
