//! What a model wrote, where it can do no harm. An answer may hold anything: escape sequences that
//! take over a terminal, tags, or marks that turn the direction of the text around it.

/// Stands for what is not shown.
const HIDDEN: char = '\u{fffd}';

/// Whether a character is not text but tells a terminal or a browser what to do.
fn is_command(c: char) -> bool {
    let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
    let embeddings = '\u{202a}'..='\u{202e}';
    let isolates = '\u{2066}'..='\u{2069}';
    c.is_control() || marks.contains(&c) || embeddings.contains(&c) || isolates.contains(&c)
}

/// One line of at most `length` characters, with `…` for what is cut off.
pub(super) fn one_line(text: &str, length: usize) -> String {
    let shown = |c: char| {
        if c.is_whitespace() {
            ' '
        } else if is_command(c) {
            HIDDEN
        } else {
            c
        }
    };
    let mut characters = text.trim().chars().map(shown);
    let mut line: String = characters.by_ref().take(length).collect();
    if characters.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Text as it may stand in an element or in an attribute's quotes. Lines stay lines.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if is_command(c) => safe.push(HIDDEN),
            c => safe.push(c),
        }
    }
    safe
}
