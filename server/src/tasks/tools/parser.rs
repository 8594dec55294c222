//! Calls found in a text as it is being written.

use super::ToolFormat;
use super::object::{CallObject, Progress};

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text beside calls.
    Text(String),
    /// A call begins.
    Call {
        /// What its result is to name.
        id: String,
        /// The function.
        name: String,
    },
    /// More of the arguments of the call that began last.
    Arguments(String),
}

#[derive(Debug)]
enum State {
    /// Text, in which a call may begin.
    Text,
    /// After what opens a call, before its object.
    Open,
    Object(CallObject),
    /// After an object.
    Close,
    /// Text, in which no call can begin any more.
    Plain,
}

/// Tells calls from text. What may be the beginning of a call is held back until it is known; what turns
/// out to be none is text.
#[derive(Debug)]
pub struct ToolCallParser {
    format: ToolFormat,
    /// Whether more than the first call is told.
    several: bool,
    state: State,
    held: String,
    /// What was read since a call seemed to begin, before its object.
    opened: String,
    calls: usize,
}

impl ToolCallParser {
    /// A parser at the start of an answer; it tells one call, or `several`.
    #[must_use]
    pub fn new(format: ToolFormat, several: bool) -> Self {
        Self {
            format,
            several,
            state: State::Text,
            held: String::new(),
            opened: String::new(),
            calls: 0,
        }
    }

    /// Whether it found any call.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Adds text and gives what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        while self.step(&mut parts) {}
        parts
    }

    /// The text is over: gives what was held back.
    pub fn finish(&mut self) -> Vec<Part> {
        let state = std::mem::replace(&mut self.state, State::Plain);
        let held = std::mem::take(&mut self.held);
        let mut parts = Vec::new();
        match state {
            State::Text if self.calls > 0 && held.trim().is_empty() => {}
            State::Text | State::Plain => say(&mut parts, &held),
            State::Open => say(&mut parts, &format!("{}{held}", self.opened)),
            State::Object(object) if object.has_begun() => {}
            State::Object(object) => say(&mut parts, &format!("{}{}", self.opened, object.raw())),
            State::Close => {}
        }
        parts
    }

    /// One step ahead; false where more text is needed.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        if self.held.is_empty() {
            return false;
        }
        match &mut self.state {
            State::Text => match self.format.opening() {
                Some(marker) => self.look_for(marker, parts),
                None => self.look_for_object(),
            },
            State::Open => self.open(),
            State::Object(_) => self.read(parts),
            State::Close => self.close(),
            State::Plain => {
                say(parts, &std::mem::take(&mut self.held));
                false
            }
        }
    }

    fn look_for(&mut self, marker: &'static str, parts: &mut Vec<Part>) -> bool {
        let found = self.held.find(marker);
        let end = found.unwrap_or(self.held.len() - unsettled(&self.held, marker));
        // Space before a call is no text of its own.
        let text = self.held[..end].trim_end();
        say(parts, text);
        match found {
            Some(at) => {
                self.held.drain(..at + marker.len());
                marker.clone_into(&mut self.opened);
                self.state = State::Open;
                true
            }
            None => {
                let said = text.len();
                self.held.drain(..said);
                false
            }
        }
    }

    /// Without a marker, a call stands in place of a text.
    fn look_for_object(&mut self) -> bool {
        self.state = match self.held.trim_start().chars().next() {
            None => return false,
            Some('{') => {
                self.keep_space();
                State::Object(CallObject::new())
            }
            Some(_) => State::Plain,
        };
        true
    }

    /// Moves space that begins what is held to what was opened, should it turn out to be text.
    fn keep_space(&mut self) {
        let space = self.held.len() - self.held.trim_start().len();
        self.opened.extend(self.held.drain(..space));
    }

    fn open(&mut self) -> bool {
        self.keep_space();
        let is_list = self.format == ToolFormat::Mistral && self.calls == 0;
        self.state = match self.held.chars().next() {
            None => return false,
            Some('{') => State::Object(CallObject::new()),
            Some('[') if is_list && !self.opened.ends_with('[') => {
                self.opened.push('[');
                self.held.drain(..1);
                return true;
            }
            Some(_) => {
                self.held.insert_str(0, &std::mem::take(&mut self.opened));
                State::Plain
            }
        };
        true
    }

    fn read(&mut self, parts: &mut Vec<Part>) -> bool {
        let State::Object(object) = &mut self.state else {
            return false;
        };
        let mut progress = Progress::Open;
        let mut read = 0;
        for character in self.held.chars() {
            progress = object.push(character);
            read += character.len_utf8();
            if progress != Progress::Open {
                break;
            }
        }
        self.held.drain(..read);
        let is_first = !object.has_begun();
        let (told, format) = (
            self.several || self.calls == usize::from(!is_first),
            self.format,
        );
        let more = object.parts(progress, || format.id());
        self.calls += usize::from(is_first && object.has_begun());
        if told {
            parts.extend(more);
        }
        match progress {
            Progress::Open => return false,
            _ if object.has_begun() => {
                self.opened.clear();
                self.state = State::Close;
            }
            _ => {
                let text = format!("{}{}", self.opened, object.raw());
                self.opened.clear();
                self.held.insert_str(0, &text);
                self.state = State::Plain;
            }
        }
        true
    }

    fn close(&mut self) -> bool {
        let space = self.held.len() - self.held.trim_start().len();
        self.held.drain(..space);
        if let Some(marker) = self.format.closing() {
            if marker.starts_with(&self.held) && self.held.len() < marker.len() {
                return false;
            }
            let rest = self.held.strip_prefix(marker).map(str::len);
            let rest = rest.unwrap_or(self.held.len());
            self.held.drain(..self.held.len() - rest);
            self.state = State::Text;
            return true;
        }
        let Some(next) = self.held.chars().next() else {
            return false;
        };
        self.state = match (self.format, next) {
            (ToolFormat::Mistral, ',') | (ToolFormat::Llama, ';') => State::Open,
            (ToolFormat::Mistral, ']') => State::Plain,
            _ => {
                self.state = State::Plain;
                return true;
            }
        };
        self.held.drain(..next.len_utf8());
        true
    }
}

fn say(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Bytes at the end of a text that may be the start of a marker.
fn unsettled(text: &str, marker: &str) -> usize {
    let ends = text.char_indices().map(|(at, _)| &text[at..]);
    let starts = ends.filter(|end| end.len() < marker.len() && marker.starts_with(end));
    starts.map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
