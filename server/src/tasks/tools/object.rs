//! The JSON object of one call, as it is being written.

use serde_json::Value;

use super::parser::Part;

/// Keys that a call may begin with: an object that begins with another is no call.
const KEYS: [&str; 5] = ["name", "arguments", "parameters", "type", "id"];

/// What the next character may be, where it is no part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Key,
    Colon,
    Value,
    Comma,
}

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    Done,
    /// It is no JSON, or no call.
    Broken,
}

/// Reads one object character by character, and gives its name and arguments as soon as they are there.
#[derive(Debug)]
pub(super) struct CallObject {
    raw: String,
    depth: usize,
    expect: Expect,
    in_string: bool,
    escaped: bool,
    /// Where the string, or the value, that is being read begins.
    string: usize,
    value: Option<usize>,
    key: String,
    name: Option<String>,
    begun: bool,
    /// Where the arguments stand: their beginning, what was given of them, and their end once it is there.
    arguments: Option<(usize, usize, Option<usize>)>,
}

impl CallObject {
    pub(super) fn new() -> Self {
        Self {
            raw: String::new(),
            depth: 0,
            expect: Expect::Value,
            in_string: false,
            escaped: false,
            string: 0,
            value: None,
            key: String::new(),
            name: None,
            begun: false,
            arguments: None,
        }
    }

    /// What was read.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Whether its name was given.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn push(&mut self, character: char) -> Progress {
        let at = self.raw.len();
        self.raw.push(character);
        if self.in_string {
            return self.push_in_string(character);
        }
        let progress = match character {
            ' ' | '\n' | '\r' | '\t' => self.end_scalar(at),
            '"' => self.open_string(at),
            '{' | '[' => self.open(at, character),
            '}' | ']' => self.close(at),
            ':' if self.depth == 1 => self.turn(Expect::Colon, Expect::Value),
            ',' if self.depth == 1 => {
                self.end_scalar(at);
                self.turn(Expect::Comma, Expect::Key)
            }
            _ if self.depth == 1 => self.begin_value(at),
            _ => Some(()),
        };
        match progress {
            None => Progress::Broken,
            Some(()) if self.depth == 0 => Progress::Done,
            Some(()) => Progress::Open,
        }
    }

    fn push_in_string(&mut self, character: char) -> Progress {
        match character {
            _ if self.escaped => self.escaped = false,
            '\\' => self.escaped = true,
            '"' => {
                self.in_string = false;
                if self.depth == 1 && self.end_string().is_none() {
                    return Progress::Broken;
                }
            }
            _ => {}
        }
        Progress::Open
    }

    fn open_string(&mut self, at: usize) -> Option<()> {
        self.in_string = true;
        self.string = at;
        match self.expect {
            Expect::Key if self.depth == 1 => Some(()),
            _ => self.begin_value(at),
        }
    }

    fn end_string(&mut self) -> Option<()> {
        let end = self.raw.len();
        if self.expect != Expect::Key {
            return self.end_value(end);
        }
        self.key = serde_json::from_str(&self.raw[self.string..end]).ok()?;
        self.expect = Expect::Colon;
        KEYS.contains(&self.key.as_str()).then_some(())
    }

    fn open(&mut self, at: usize, character: char) -> Option<()> {
        if self.depth == 0 {
            self.expect = Expect::Key;
            self.depth = 1;
            return (character == '{').then_some(());
        }
        self.begin_value(at)?;
        self.depth += 1;
        Some(())
    }

    fn close(&mut self, at: usize) -> Option<()> {
        if self.depth == 1 {
            self.end_scalar(at)?;
        }
        self.depth = self.depth.checked_sub(1)?;
        match self.depth {
            0 => (self.expect == Expect::Comma).then_some(()),
            1 => self.end_value(at + 1),
            _ => Some(()),
        }
    }

    fn turn(&mut self, from: Expect, to: Expect) -> Option<()> {
        let fits = self.expect == from;
        self.expect = to;
        fits.then_some(())
    }

    fn begin_value(&mut self, at: usize) -> Option<()> {
        if self.depth != 1 {
            return Some(());
        }
        if self.expect != Expect::Value {
            return None;
        }
        if self.value.is_none() {
            self.value = Some(at);
            let is_string = self.in_string;
            let is_arguments = matches!(self.key.as_str(), "arguments" | "parameters");
            if is_arguments && !is_string {
                self.arguments = Some((at, at, None));
            }
        }
        Some(())
    }

    /// A number or a word ends where something else begins.
    fn end_scalar(&mut self, at: usize) -> Option<()> {
        match self.value {
            Some(_) if self.depth == 1 => self.end_value(at),
            _ => Some(()),
        }
    }

    fn end_value(&mut self, end: usize) -> Option<()> {
        let start = self.value.take()?;
        self.expect = Expect::Comma;
        match self.key.as_str() {
            "name" => {
                let name: Value = serde_json::from_str(&self.raw[start..end]).ok()?;
                self.name = Some(name.as_str()?.to_owned());
            }
            "arguments" | "parameters" => {
                self.arguments.get_or_insert((start, start, None)).2 = Some(end);
            }
            _ => {}
        }
        Some(())
    }

    /// What became known since the last time. The name comes first, wherever it stands.
    pub(super) fn parts(&mut self, progress: Progress, id: impl FnOnce() -> String) -> Vec<Part> {
        let mut parts = Vec::new();
        let Some(name) = &self.name else {
            return parts;
        };
        if !self.begun {
            self.begun = true;
            let name = name.clone();
            parts.push(Part::Call { id: id(), name });
        }
        match &mut self.arguments {
            None if progress == Progress::Done => parts.push(Part::Arguments("{}".to_owned())),
            None => {}
            Some((_, given, end)) => {
                let to = end.unwrap_or(self.raw.len());
                let more = &self.raw[*given..to];
                // Arguments within a string are those that it says.
                let text = match serde_json::from_str(more) {
                    Ok(Value::String(text)) => text,
                    _ => more.to_owned(),
                };
                *given = to;
                if !text.is_empty() {
                    parts.push(Part::Arguments(text));
                }
            }
        }
        parts
    }
}
