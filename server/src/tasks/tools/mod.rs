//! Calls of tools, in the forms that families of models write them.

mod object;
mod parser;

use serde_json::{Map, Value, json};

pub use parser::{Part, ToolCallParser};

use super::grammar::with_bounded_space;

/// How a model writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolFormat {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>` for each, as Hermes, Qwen 2.5 and Qwen 3.
    Hermes,
    /// `{"name": …, "parameters": …}` in place of a text, as Llama 3.
    Llama,
    /// `[TOOL_CALLS][{"name": …, "arguments": …}, …]`, as Mistral before version 11 of its tokenizer.
    Mistral,
}

/// A function that a model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// What it is called.
    pub name: String,
    /// The schema of its arguments.
    pub parameters: Value,
}

impl ToolFormat {
    /// The form that a chat template shows a model; `None` where it shows none that is known.
    #[must_use]
    pub fn of(template: &str) -> Option<Self> {
        let has = |text: &str| template.contains(text);
        // Later families write names and arguments in tags of their own.
        if has("<function=") || has("[ARGS]") || has("<arg_key>") {
            None
        } else if has("<tool_call>") {
            Some(Self::Hermes)
        } else if has("[TOOL_CALLS]") {
            Some(Self::Mistral)
        } else if has("\"parameters\"") && (has("ipython") || has("<|python_tag|>")) {
            Some(Self::Llama)
        } else {
            None
        }
    }

    /// What stands before a call, or before the list of them.
    #[must_use]
    pub fn opening(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("<tool_call>"),
            Self::Llama => None,
            Self::Mistral => Some("[TOOL_CALLS]"),
        }
    }

    /// What stands after a call, where that is a text of its own.
    fn closing(self) -> Option<&'static str> {
        (self == Self::Hermes).then_some("</tool_call>")
    }

    /// Texts that may be special tokens, which then have to be seen.
    pub fn markers(self) -> impl Iterator<Item = &'static str> {
        self.opening().into_iter().chain(self.closing())
    }

    fn arguments(self) -> &'static str {
        match self {
            Self::Llama => "parameters",
            Self::Hermes | Self::Mistral => "arguments",
        }
    }

    /// An id for a call. Mistral's templates take nothing but nine letters and digits.
    #[must_use]
    pub fn id(self) -> String {
        match self {
            Self::Mistral => format!("{:09x}", rand::random::<u64>() & 0xF_FFFF_FFFF),
            Self::Hermes | Self::Llama => format!("call_{:024x}", rand::random::<u128>() >> 32),
        }
    }

    /// A grammar, in llguidance's Lark, of calls to `functions`: one, or `several` where the form has a way to
    /// write them. With an `answer`, JSON of that schema will do too. `special` gives the ids of texts that
    /// are special tokens.
    #[must_use]
    pub fn grammar(
        self,
        functions: &[Function],
        several: bool,
        answer: Option<&Value>,
        special: &dyn Fn(&str) -> Option<u32>,
    ) -> String {
        let marker = |text: &str| match special(text) {
            Some(id) => format!("<[{id}]>"),
            None => Value::from(text).to_string(),
        };
        let more = |separator: &str, what: &str| match several {
            true => format!(" ({separator} {what})*"),
            false => String::new(),
        };
        let calls = match self {
            Self::Hermes => {
                let [open, close] = ["<tool_call>", "</tool_call>"].map(marker);
                let rest = more("\"\\n\"", "one");
                format!("calls: one{rest}\none: {open} \"\\n\" call \"\\n\" {close}")
            }
            Self::Llama => "calls: call".to_owned(),
            Self::Mistral => {
                let (open, rest) = (marker("[TOOL_CALLS]"), more("\", \"", "call"));
                format!("calls: {open} (\" \")? \"[\" call{rest} \"]\"")
            }
        };
        let start = match answer {
            None => "start: calls".to_owned(),
            Some(schema) => {
                let schema = with_bounded_space(schema);
                format!("start: calls | answer\nanswer: %json {schema}")
            }
        };
        format!("{start}\n{calls}\n{}\n", self.call_rules(functions))
    }

    /// The rule `call`, of one call to any of `functions`.
    fn call_rules(self, functions: &[Function]) -> String {
        let names: Vec<_> = (0..functions.len()).map(|at| format!("f{at}")).collect();
        let rules = functions.iter().zip(&names).map(|(function, name)| {
            let schema = with_bounded_space(&self.call_schema(function));
            format!("{name}: %json {schema}")
        });
        let rules: Vec<_> = rules.collect();
        format!("call: {}\n{}", names.join(" | "), rules.join("\n"))
    }

    /// The schema of the object that calls a function. What its own schema defines has to stand at the top,
    /// where references look for it.
    fn call_schema(self, function: &Function) -> Value {
        let mut parameters = function.parameters.clone();
        let mut schema = Map::new();
        for part in ["$schema", "$defs", "definitions"] {
            let own = parameters.as_object_mut();
            if let Some(defined) = own.and_then(|own| own.remove(part)) {
                schema.insert(part.to_owned(), defined);
            }
        }
        let arguments = self.arguments();
        schema.insert("type".to_owned(), json!("object"));
        let properties = json!({"name": {"const": function.name}, arguments: parameters});
        schema.insert("properties".to_owned(), properties);
        schema.insert("required".to_owned(), json!(["name", arguments]));
        schema.insert("additionalProperties".to_owned(), json!(false));
        Value::Object(schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{EOS, VOCAB, byte_tokenizer};
    use crate::tasks::{Form, Grammars, Vocabulary};

    #[test]
    fn templates_show_their_form() {
        let llama = r#"{"name": function name, "parameters": {...}} <|start_header_id|>ipython"#;
        for (template, format) in [
            (
                "return a json object within <tool_call></tool_call>",
                Some(ToolFormat::Hermes),
            ),
            ("{{ '[TOOL_CALLS]' }}", Some(ToolFormat::Mistral)),
            (llama, Some(ToolFormat::Llama)),
            ("<tool_call>\n<function=name>", None),
            ("[TOOL_CALLS]name[ARGS]{}", None),
            ("{{ messages }}", None),
        ] {
            assert_eq!(ToolFormat::of(template), format, "{template}");
        }
    }

    #[test]
    fn ids_are_of_the_form_that_templates_take() {
        let id = ToolFormat::Mistral.id();
        assert!(
            id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()),
            "{id}"
        );
        assert!(ToolFormat::Hermes.id().starts_with("call_"));
        assert_ne!(ToolFormat::Hermes.id(), ToolFormat::Hermes.id());
    }

    fn takes(grammar: &str, text: &str) -> bool {
        let vocabulary = Vocabulary::new(&byte_tokenizer(), VOCAB, &[EOS]);
        let grammars = Grammars::new(&vocabulary, &[EOS]).unwrap();
        let mut constraint = grammars
            .compile(&Form::Written(grammar.to_owned()))
            .unwrap();
        let mut ended = false;
        for byte in text.bytes() {
            match constraint.wrote(u32::from(byte)) {
                Ok(is_over) => ended = is_over,
                Err(_) => return false,
            }
        }
        ended || constraint.mask(&[0.0; VOCAB]).unwrap()[EOS as usize] == 0.0
    }

    #[test]
    fn each_grammar_takes_calls_of_its_form_alone() {
        let place = json!({"type": "object", "properties": {"at": {"$ref": "#/$defs/place"}},
            "required": ["at"], "additionalProperties": false, "$defs": {"place": {"type": "string"}}});
        let functions =
            [("weather", place), ("stop", json!({"type": "object"}))].map(|(name, parameters)| {
                Function {
                    name: name.to_owned(),
                    parameters,
                }
            });
        let weather = r#"{"name": "weather", "arguments": {"at": "Rome"}}"#;
        let llama = weather.replace("arguments", "parameters");
        let stop = r#"{"name": "stop", "arguments": {}}"#;
        let other = r#"{"name": "other", "arguments": {}}"#;
        let hermes = |call: &str| format!("<tool_call>\n{call}\n</tool_call>");
        let two = format!("{}\n{}", hermes(weather), hermes(stop));
        let list = format!("[TOOL_CALLS][{weather}, {stop}]");
        for (format, several, text, good) in [
            (ToolFormat::Hermes, true, hermes(weather), true),
            (ToolFormat::Hermes, true, two.clone(), true),
            (ToolFormat::Hermes, false, two, false),
            (ToolFormat::Hermes, true, hermes(other), false),
            (ToolFormat::Hermes, true, weather.to_owned(), false),
            (ToolFormat::Mistral, true, list.clone(), true),
            (ToolFormat::Mistral, false, list, false),
            (ToolFormat::Llama, true, llama, true),
            (ToolFormat::Llama, true, weather.to_owned(), false),
            (ToolFormat::Llama, true, r#"{"ok":true}"#.to_owned(), true),
        ] {
            let answer = json!({"type": "object", "properties": {"ok": {"type": "boolean"}},
                "required": ["ok"], "additionalProperties": false});
            let grammar = format.grammar(&functions, several, Some(&answer), &|_| None);
            assert_eq!(takes(&grammar, &text), good, "{grammar}{text}");
        }
    }
}
