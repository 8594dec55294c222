//! Texts of about so many tokens. How many tokens a word has, is learned from the server, which counts.

use chandler_sim::traffic::Dice;

/// Common words, of which no two begin alike: what a cache of prompts or a gateway knows by its
/// beginning, is not met again.
const WORDS: [&str; 32] = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
    "school", "state", "family", "student", "group", "country", "problem", "hand", "part", "place",
    "case", "week", "company", "system", "program", "question", "work", "number", "night", "point",
    "home",
];

/// How many tokens a text has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Words {
    /// Tokens of any text, however short.
    fixed: f64,
    /// Tokens that a word adds.
    each: f64,
}

impl Words {
    /// From the tokens of two texts of so many words.
    pub(super) fn learn(few: (u32, u32), many: (u32, u32)) -> Self {
        let words = f64::from(many.0) - f64::from(few.0);
        let tokens = f64::from(many.1) - f64::from(few.1);
        // Whatever a server counts, a text of a word has a token.
        let each = (tokens / words.max(1.0)).max(0.1);
        let fixed = (f64::from(few.1) - each * f64::from(few.0)).max(0.0);
        Self { fixed, each }
    }

    /// A text of about so many tokens; of one word at least.
    pub(super) fn text(&self, tokens: u32, dice: &mut Dice) -> String {
        let words = (f64::from(tokens) - self.fixed) / self.each;
        text(words.round().max(1.0) as u32, dice)
    }
}

/// A text of so many words.
pub(super) fn text(words: u32, dice: &mut Dice) -> String {
    let words = (0..words).map(|_| WORDS[dice.below(WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_tokens_that_were_learned() {
        // Two special tokens, and five for four words.
        let tokens = |text: &str| 2 + text.split(' ').count() as u32 * 5 / 4;
        let mut dice = Dice::new(1);
        let counted = |words, dice: &mut Dice| (words, tokens(&text(words, dice)));
        let words = Words::learn(counted(8, &mut dice), counted(72, &mut dice));
        for wanted in [12, 100, 1000] {
            let made = tokens(&words.text(wanted, &mut dice));
            assert!(made.abs_diff(wanted) <= 1, "{made} for {wanted}");
        }
        assert!(!words.text(0, &mut dice).is_empty());
    }

    #[test]
    fn texts_differ_from_their_beginning() {
        let mut dice = Dice::new(1);
        let one = text(40, &mut dice);
        assert_ne!(one[..30], text(40, &mut dice)[..30]);
    }
}
