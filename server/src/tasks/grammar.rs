//! Forms that an answer can be held to, compiled for the tokens of a model.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use llguidance::ParserFactory;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use serde_json::{Value, json};

use super::vocabulary::{TokenText, Vocabulary};
use crate::engine::{Constraint, EngineError};

/// Bytes of a regular expression or grammar at most. Schemas are bounded by the body and by what they
/// come to.
const MAX_SOURCE: usize = 64 << 10;
/// Brackets within brackets at most: the compiler follows them by recursion.
const MAX_NESTING: usize = 100;
/// Enough for the deepest form within these bounds.
const STACK: usize = 64 << 20;
/// Enough for a new line, and what a deep line begins with.
const SPACE: &str = r"[\x20\x0A\x0D\x09]{1,40}";
/// A longer token is never written under a constraint; the tree of tokens has no place for it.
const MAX_TOKEN: usize = 1000;

/// What an answer has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// JSON that a schema takes.
    Json(Value),
    /// A text that a regular expression matches as a whole.
    Regex(String),
    /// A text of a grammar, in llguidance's dialect of Lark.
    Grammar(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of a grammar that this server wrote, of what a client may send at any length.
    Written(String),
}

/// Why a form was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// It says nothing, something wrong, or what is not supported.
    #[error("{0}")]
    Invalid(String),
    /// It is longer than a grammar may be.
    #[error("it has {bytes} bytes; write at most {MAX_SOURCE}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Its brackets are too deep.
    #[error("its brackets stand more than {MAX_NESTING} deep; give parts of it names of their own")]
    TooDeep,
    /// The model's tokens cannot be held to any form.
    #[error("this model's tokens can be held to no form: {0}")]
    Tokens(String),
}

impl GrammarError {
    /// The error as one CamelCase word, stable for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "GrammarInvalid",
            Self::TooLong { .. } => "GrammarTooLong",
            Self::TooDeep => "GrammarTooDeep",
            Self::Tokens(_) => "TokensUnfit",
        }
    }
}

/// Compiles forms for one vocabulary.
pub struct Grammars {
    factory: ParserFactory,
    /// Held by the one form that is compiled: the processors are there for the model.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

impl Grammars {
    /// For the tokens of `vocabulary`, any of `ends` of which ends an answer. Takes a while for many.
    ///
    /// # Errors
    /// [`GrammarError::Tokens`].
    pub fn new(vocabulary: &Vocabulary, ends: &[u32]) -> Result<Self, GrammarError> {
        let tokens = vocabulary.tokens();
        let words: Vec<Vec<u8>> = tokens.iter().map(word).collect();
        let size = u32::try_from(words.len()).unwrap_or(u32::MAX);
        let ends: Vec<u32> = ends.iter().copied().filter(|end| *end < size).collect();
        let first = ends.first().copied().unwrap_or(INVALID_TOKEN);
        let mut trie = TokTrie::from(&TokRxInfo::new(size, first), &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let factory = ParserFactory::new_simple(&tokens);
        let mut factory = factory.map_err(|error| GrammarError::Tokens(first_line(&error)))?;
        factory.quiet();
        // Errors go to clients, who know what they sent.
        factory.limits_mut().verbose_errors = false;
        Ok(Self {
            factory,
            turn: Mutex::default(),
        })
    }

    /// A constraint to `form`, at its start. Blocks, as long as the compiler's limits allow.
    ///
    /// # Errors
    /// Any but [`GrammarError::Tokens`].
    pub fn compile(&self, form: &Form) -> Result<Constraint, GrammarError> {
        let grammar = grammar(form)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // A stack of its own, since what a client nests ends no process.
        thread::scope(|scope| {
            let compile = || self.constraint(grammar);
            let thread = thread::Builder::new().stack_size(STACK);
            let started = thread.spawn_scoped(scope, compile);
            let started = started.map_err(|error| GrammarError::Invalid(error.to_string()))?;
            let panicked = |_| GrammarError::Invalid("the compiler hit a bug".to_owned());
            started.join().map_err(panicked)?
        })
    }

    fn constraint(&self, grammar: TopLevelGrammar) -> Result<Constraint, GrammarError> {
        let parser = self.factory.create_parser(grammar);
        let parser = parser.map_err(|error| GrammarError::Invalid(first_line(&error)))?;
        let mut constraint = Constraint::new(parser);
        match constraint.check() {
            Ok(()) => Ok(constraint),
            Err(EngineError::Constraint(problem)) => Err(GrammarError::Invalid(problem)),
            Err(other) => Err(GrammarError::Invalid(other.to_string())),
        }
    }
}

fn first_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// A token's bytes, marked where it is special, so that no text can be taken for it.
fn word(token: &TokenText) -> Vec<u8> {
    let mut word = match token {
        TokenText::Bytes(bytes) => bytes.clone(),
        TokenText::Special(name) => {
            let mut word = vec![TokTrie::SPECIAL_TOKEN_MARKER];
            word.extend(name.bytes());
            word
        }
    };
    // A byte that no text has begins the marks: as a token of its own it would be one.
    if word.len() > MAX_TOKEN || matches!(token, TokenText::Bytes(_)) && starts_like_mark(&word) {
        word.clear();
    }
    word
}

fn starts_like_mark(word: &[u8]) -> bool {
    word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER)
}

fn grammar(form: &Form) -> Result<TopLevelGrammar, GrammarError> {
    Ok(match form {
        Form::Json(schema) => TopLevelGrammar::from_json_schema(with_bounded_space(schema)),
        Form::Regex(regex) => {
            check_source(regex)?;
            TopLevelGrammar::from_regex(regex)
        }
        Form::Grammar(grammar) => {
            check_source(grammar)?;
            TopLevelGrammar::from_lark(grammar.clone())
        }
        Form::Written(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        Form::Choice(texts) => TopLevelGrammar::from_lark(one_of(texts)),
    })
}

/// The schema with the space between tokens of JSON bounded: small models go on with it for ever.
pub(super) fn with_bounded_space(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        let options = || json!({"whitespace_pattern": SPACE});
        map.entry("x-guidance").or_insert_with(options);
    }
    schema
}

fn check_source(source: &str) -> Result<(), GrammarError> {
    let mut depth = 0usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(GrammarError::TooDeep);
        }
    }
    match source.len() {
        bytes if bytes > MAX_SOURCE => Err(GrammarError::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// A terminal of alternatives: as one of the lexer, thousands cost no more than a few. Lark writes texts as
/// JSON does.
fn one_of(texts: &[String]) -> String {
    let quoted = texts
        .iter()
        .map(|text| Value::from(text.as_str()).to_string());
    format!(
        "start: ONE\nONE: {}",
        quoted.collect::<Vec<_>>().join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{EOS, VOCAB, byte_tokenizer};

    fn grammars() -> Grammars {
        let vocabulary = Vocabulary::new(&byte_tokenizer(), VOCAB, &[EOS]);
        Grammars::new(&vocabulary, &[EOS]).unwrap()
    }

    /// Whether a text may be written, and the answer may end after it.
    fn takes(grammars: &Grammars, form: &Form, text: &str) -> bool {
        let mut constraint = grammars.compile(form).unwrap();
        let logits = vec![0.0; VOCAB];
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        for (at, token) in tokens.iter().enumerate() {
            let masked = constraint.mask(&logits).unwrap();
            if masked[*token as usize].is_infinite() {
                return false;
            }
            if constraint.wrote(*token).unwrap() {
                return at + 1 == tokens.len();
            }
        }
        constraint.mask(&logits).unwrap()[EOS as usize] == 0.0
    }

    #[test]
    fn every_form_takes_its_texts_and_no_others() {
        let schema = json!({"type": "object", "properties": {"n": {"$ref": "#/$defs/count"}},
            "required": ["n"], "additionalProperties": false,
            "$defs": {"count": {"type": "integer", "minimum": 3}}});
        let grammar = "start: \"(\" inner \")\"\ninner: /[ab]+/".to_owned();
        let choice = ["yes", "no", "a \"b\"\\", "größer"].map(str::to_owned);
        let all = grammars();
        for (form, good, bad) in [
            (Form::Json(schema), r#"{"n": 12}"#, r#"{"n": 2}"#),
            (
                Form::Json(json!({"type": "object"})),
                r#"{"a":[null,"ü"]}"#,
                "[1]",
            ),
            (Form::Regex(r"[a-c]{2}/\d".to_owned()), "ab/7", "ab/x"),
            (Form::Grammar(grammar), "(ab)", "(abc)"),
            (Form::Choice(choice.to_vec()), "a \"b\"\\", "maybe"),
            (Form::Choice(choice.to_vec()), "größer", "ye"),
        ] {
            assert!(takes(&all, &form, good), "{form:?} {good}");
            assert!(!takes(&all, &form, bad), "{form:?} {bad}");
        }
    }

    #[test]
    fn space_in_json_has_an_end() {
        let object = Form::Json(json!({"type": "object"}));
        let all = grammars();
        let with = |count: usize| format!("{{{}\"a\": 1}}", " ".repeat(count));
        assert!(takes(&all, &object, &with(40)));
        assert!(!takes(&all, &object, &with(41)));
    }

    #[test]
    fn a_copy_goes_on_by_itself() {
        let mut first = grammars()
            .compile(&Form::Choice(vec!["ab".to_owned(), "cd".to_owned()]))
            .unwrap();
        let mut second = first.clone();
        assert!(!first.wrote(u32::from(b'a')).unwrap());
        assert!(!second.wrote(u32::from(b'c')).unwrap());
        assert!(first.wrote(u32::from(b'b')).unwrap());
        assert!(second.wrote(u32::from(b'b')).is_err());
    }

    #[test]
    fn what_cannot_be_compiled_says_why() {
        let all = grammars();
        for (form, word) in [
            (Form::Json(json!({"type": "nothing"})), "nothing"),
            (Form::Json(json!({"$ref": "http://example.com/x"})), "$ref"),
            (Form::Regex("(a".to_owned()), "regex"),
            (Form::Grammar("begin: \"a\"".to_owned()), "start"),
        ] {
            let error = all.compile(&form).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.reason(), "GrammarInvalid", "{text}");
            assert!(text.contains(word) && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_is_endless_or_deep_is_refused_and_hurts_nobody() {
        let all = grammars();
        let deep = format!("start: {}\"a\"{}", "(".repeat(5000), ")".repeat(5000));
        let error = all.compile(&Form::Grammar(deep)).unwrap_err();
        assert_eq!(error.reason(), "GrammarTooDeep");
        let long = Form::Regex("a".repeat(MAX_SOURCE + 1));
        assert_eq!(all.compile(&long).unwrap_err().reason(), "GrammarTooLong");
        let many = (0..3000).map(|at| {
            let next =
                json!({"allOf": [{"$ref": format!("#/$defs/d{}", at + 1)}, {"minLength": 1}]});
            (format!("d{at}"), next)
        });
        let chain = json!({"$ref": "#/$defs/d0", "$defs": many.collect::<Value>()});
        assert!(all.compile(&Form::Json(chain)).is_err());
        // Whatever is put off until tokens are chosen has limits of its own.
        let huge = Form::Regex("((a{1,1000}){1,1000}b){1,1000}".to_owned());
        let array = json!({"type": "array", "minItems": 2_000_000_000, "maxItems": 2_000_000_001});
        for form in [huge, Form::Json(array)] {
            let steps = all.compile(&form).map(|mut it| it.mask(&[0.0; VOCAB]));
            assert!(!matches!(steps, Err(GrammarError::Tokens(_))));
        }
        let many: Vec<String> = (0..20_000).map(|at| format!("choice {at}")).collect();
        assert!(takes(&all, &Form::Choice(many), "choice 19999"));
        // Each may be left out, so that all of them may come first.
        let optional = (0..3000).map(|at| (format!("p{at}"), json!({"type": "string"})));
        let wide = json!({"type": "object", "properties": optional.collect::<Value>()});
        let mut wide = all.compile(&Form::Json(wide)).unwrap();
        let mut write = |byte: u8| {
            wide.mask(&[0.0; VOCAB])?;
            wide.wrote(u32::from(byte))
        };
        let error = b"{\"p1\"".iter().find_map(|byte| write(*byte).err());
        assert!(
            matches!(error, Some(EngineError::Constraint(_))),
            "{error:?}"
        );
        let circle = json!({"allOf": [{"$ref": "#"}, {"type": "object"}]});
        assert_eq!(
            all.compile(&Form::Json(circle)).unwrap_err().reason(),
            "GrammarInvalid"
        );
    }
}
