//! Stop strings: found across token borders, and never streamed, not even in part.

/// Cuts a growing text before the first stop string that it completes.
///
/// Text that may be the start of a stop string is held back until it is known not to be. Which
/// stop string ends the text does not depend on how the text is cut into pieces: the one whose
/// last character comes first, and of several that end there the longest.
#[derive(Debug)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    matched: bool,
}

impl StopMatcher {
    /// A matcher of `stops`; empty ones are ignored.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self {
            stops,
            held: String::new(),
            matched: false,
        }
    }

    /// Adds `text` and gives what can be shown now. After a match it gives nothing more.
    pub fn push(&mut self, text: &str) -> String {
        if self.matched {
            return String::new();
        }
        if self.stops.is_empty() {
            return text.to_owned();
        }
        for character in text.chars() {
            self.held.push(character);
            if let Some(length) = self.completed() {
                self.matched = true;
                self.held.truncate(self.held.len() - length);
                return std::mem::take(&mut self.held);
            }
        }
        let kept = self.unsettled();
        let rest = self.held.split_off(self.held.len() - kept);
        std::mem::replace(&mut self.held, rest)
    }

    /// True once a stop string was found.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        self.matched
    }

    /// The text is over: gives what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes of the longest stop string that the held text ends with.
    fn completed(&self) -> Option<usize> {
        let ending = self.stops.iter().filter(|stop| self.held.ends_with(*stop));
        ending.map(String::len).max()
    }

    /// Bytes at the end of the held text that may be the start of a stop string.
    fn unsettled(&self) -> usize {
        let starts = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        starts
            .filter(|tail| self.stops.iter().any(|stop| stop.starts_with(*tail)))
            .map(str::len)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(ToString::to_string).collect());
        let mut shown: Vec<String> = pieces.iter().map(|piece| matcher.push(piece)).collect();
        shown.push(matcher.finish());
        (shown, matcher.is_matched())
    }

    #[test]
    fn a_stop_across_pieces_is_never_shown() {
        let (shown, matched) = run(&["END"], &["go E", "N", "D more", "still"]);
        assert_eq!(shown, ["go ", "", "", "", ""]);
        assert!(matched);
    }

    #[test]
    fn a_false_start_is_shown_late() {
        let (shown, matched) = run(&["END"], &["an E", "N", "T"]);
        assert_eq!(shown, ["an ", "", "ENT", ""]);
        assert!(!matched);
    }

    #[test]
    fn a_false_start_can_hold_a_true_one() {
        let (shown, matched) = run(&["aab"], &["a", "a", "a", "b"]);
        assert_eq!(shown.concat(), "a");
        assert!(matched);
    }

    #[test]
    fn an_unfinished_start_comes_out_at_the_end() {
        let (shown, matched) = run(&["END"], &["the EN"]);
        assert_eq!(shown, ["the ", "EN"]);
        assert!(!matched);
    }

    /// The rule of the type's documentation, told without any state.
    fn cut(text: &str, stops: &[String]) -> String {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let ended = stops.iter().filter(|stop| text[..end].ends_with(*stop));
            if let Some(longest) = ended.map(String::len).max() {
                return text[..end - longest].to_owned();
            }
        }
        text.to_owned()
    }

    proptest! {
        #[test]
        fn shown_text_is_the_text_cut_at_the_first_stop(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{1,4}", 0..5),
        ) {
            let mut matcher = StopMatcher::new(stops.clone());
            let expected = cut(&pieces.concat(), &stops);
            let mut shown = String::new();
            for piece in &pieces {
                shown.push_str(&matcher.push(piece));
                prop_assert!(expected.starts_with(&shown));
            }
            shown.push_str(&matcher.finish());
            prop_assert_eq!(shown, expected);
        }
    }
}
