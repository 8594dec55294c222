//! The events of an answer that comes as a stream.

/// Gathers bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The data of the events that these bytes complete, but for the mark of the end.
    pub(super) fn events(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&whole);
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let data = data.map(str::trim).filter(|data| *data != "[DONE]");
        data.map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = "data: {\"a\":1}\n\n: a comment\ndata:{\"b\":\"ü\"}\r\n\ndata: [DONE]\n\n";
        for size in [1, 2, 7, text.len()] {
            let mut lines = Lines::default();
            let pieces = text.as_bytes().chunks(size);
            let events: Vec<_> = pieces.flat_map(|piece| lines.events(piece)).collect();
            assert_eq!(events, ["{\"a\":1}", "{\"b\":\"ü\"}"], "{size}");
        }
    }
}
