//! White space and words, as the reference implementations see them.

/// Whether Python's `str.split` splits here. Rust's own notion, Unicode's `White_Space`, lacks the
/// four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text without space around it, and with one space for each run of white space within.
pub(super) fn folded(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// The tokens of `mteval-v13a.pl`, the tokenizer of the WMT campaigns, by the rules that sacrebleu
/// has it in (Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018). It knows the
/// punctuation of ASCII alone: a text in Chinese is one word between two spaces.
pub(super) fn tokens_13a(text: &str) -> Vec<String> {
    let mut text = text
        .trim_end_matches(is_space)
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ");
    // In this order: `&amp;lt;` ends as `<`.
    for (entity, character) in [
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        text = text.replace(entity, character);
    }
    let spaced = spaced_symbols(&format!(" {text} "));
    // Commas and periods stay within a number alone.
    let spaced = spaced_pairs(&spaced, |first, second| {
        (!first.is_ascii_digit() && is_point(second)).then_some([first, ' ', second, ' '])
    });
    let spaced = spaced_pairs(&spaced, |first, second| {
        (is_point(first) && !second.is_ascii_digit()).then_some([' ', first, ' ', second])
    });
    let spaced = spaced_pairs(&spaced, |first, second| {
        (first.is_ascii_digit() && second == '-').then_some([first, ' ', second, ' '])
    });
    let words = spaced.split(is_space).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// ASCII's symbols but for apostrophe, comma, hyphen and period.
fn spaced_symbols(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii_punctuation() && !"',-.".contains(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    spaced
}

/// Replaces pairs of characters from left to right; what was replaced is part of no other pair.
fn spaced_pairs(text: &str, replace: impl Fn(char, char) -> Option<[char; 4]>) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        let replaced = characters.peek().and_then(|second| replace(first, *second));
        match replaced {
            Some(four) => {
                characters.next();
                spaced.extend(four);
            }
            None => spaced.push(first),
        }
    }
    spaced
}

fn is_point(c: char) -> bool {
    c == '.' || c == ','
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_points_and_words_do_not() {
        let text = "It cost $1,234.50, i.e. 3-4 times \"more\"&lt;br&gt;.";
        let tokens = [
            "It", "cost", "$", "1,234.50", ",", "i", ".", "e", ".", "3", "-", "4", "times", "\"",
            "more", "\"", "<", "br", ">", ".",
        ];
        assert_eq!(tokens_13a(text), tokens);
    }

    #[test]
    fn separators_of_ascii_split_as_python_splits() {
        assert_eq!(tokens_13a("a\u{1c}b\u{1f}c\u{3000}d"), ["a", "b", "c", "d"]);
        assert_eq!(folded("  a\u{a0}\t b\n"), "a b");
    }
}
