//! The tools that a chat may call: `tools`, `tool_choice` and `parallel_tool_calls`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::form::Wanted;
use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};
use crate::load::ChatMessage;
use crate::tasks::{Form, Function, TextTask, ToolFormat};

const TOOLS: &str = "tools";
const CHOICE: &str = "tool_choice";
/// Most tools of a request, as in OpenAI's API.
const MAX_TOOLS: usize = 128;
/// Most characters of a name.
const MAX_NAME: usize = 64;

/// Which tools an answer calls.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    /// Any or none, as the model likes.
    Auto,
    /// At least one.
    Required,
    /// The one of that number.
    Named(usize),
}

/// What a request says of tools that may be called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tools {
    /// As they were sent, for the chat template.
    pub(super) listed: Vec<Value>,
    functions: Vec<Function>,
    choice: Choice,
    /// Whether an answer may call several.
    pub(super) several: bool,
}

/// How calls are found in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calling {
    pub(super) format: ToolFormat,
    pub(super) several: bool,
}

/// Takes the tools out of `fields`; `None` where none may be called.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn take(fields: &mut Fields) -> Result<Option<Tools>, ApiError> {
    let several = fields.boolean("parallel_tool_calls")?.unwrap_or(true);
    let listed = match fields.take(TOOLS) {
        None => Vec::new(),
        Some(Value::Array(listed)) if listed.len() <= MAX_TOOLS => listed,
        Some(other) => {
            let wanted = format!("an array of at most {MAX_TOOLS} tools");
            return Err(wrong(TOOLS, &wanted, &other));
        }
    };
    let each = listed.iter().enumerate();
    let functions: Vec<Function> = each
        .map(|(at, tool)| function(&format!("{TOOLS}[{at}]"), tool))
        .collect::<Result<_, _>>()?;
    check_names(&functions)?;
    let choice = choice(fields.take(CHOICE), &functions)?;
    let tools = choice.filter(|_| !listed.is_empty());
    Ok(tools.map(|choice| Tools {
        listed,
        functions,
        choice,
        several,
    }))
}

/// How calls are found in the answer to a conversation; `None` where none may be called.
///
/// # Errors
/// 400 where there are tools, or were before, and the model's chat template knows of none.
pub(super) fn calling(
    task: &TextTask,
    messages: &[ChatMessage],
    tools: Option<&Tools>,
) -> Result<Option<Calling>, ApiError> {
    let speaks_of_tools =
        |message: &ChatMessage| message.role == "tool" || !message.tool_calls.is_empty();
    let format = task.tool_format();
    if format.is_none() && (tools.is_some() || messages.iter().any(speaks_of_tools)) {
        return Err(no_tools());
    }
    let found = tools.zip(format);
    Ok(found.map(|(tools, format)| Calling {
        format,
        several: tools.several,
    }))
}

fn function(path: &str, tool: &Value) -> Result<Function, ApiError> {
    if tool["type"] != "function" {
        let param = format!("{path}.type");
        let message = format!("`{param}` must be `function`: no other tools can be called here");
        return Err(ApiError::invalid(param, message));
    }
    let described = &tool["function"];
    let is_name = |name: &&str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits)
    };
    let Some(name) = described["name"].as_str().filter(is_name) else {
        let wanted = format!("1 to {MAX_NAME} letters, digits, `_`, `-` and `.`");
        return Err(wrong(
            &format!("{path}.function.name"),
            &wanted,
            &described["name"],
        ));
    };
    let parameters = match &described["parameters"] {
        Value::Null => json!({"type": "object"}),
        schema @ Value::Object(_) => schema.clone(),
        other => {
            let param = format!("{path}.function.parameters");
            return Err(wrong(&param, "a JSON schema, which is an object", other));
        }
    };
    let name = name.to_owned();
    Ok(Function { name, parameters })
}

fn check_names(functions: &[Function]) -> Result<(), ApiError> {
    let mut names = BTreeSet::new();
    match functions
        .iter()
        .find(|function| !names.insert(&function.name))
    {
        None => Ok(()),
        Some(Function { name, .. }) => Err(ApiError::invalid(
            TOOLS,
            format!("`{TOOLS}` has two functions called `{name}`; give each a name of its own"),
        )),
    }
}

/// `None` where no tool is to be called.
fn choice(value: Option<Value>, functions: &[Function]) -> Result<Option<Choice>, ApiError> {
    let Some(value) = value else {
        return Ok(Some(Choice::Auto));
    };
    let named = value["function"]["name"].as_str();
    let choice = match (value.as_str(), named) {
        (Some("none"), _) => return Ok(None),
        (Some("auto"), _) => return Ok(Some(Choice::Auto)),
        (Some("required"), _) if !functions.is_empty() => Choice::Required,
        (Some("required"), _) => {
            let message =
                format!("`{CHOICE}` asks for a call, but there are no `{TOOLS}`; list some");
            return Err(ApiError::invalid(CHOICE, message));
        }
        (None, Some(name)) if value["type"] == "function" => {
            let place = functions.iter().position(|it| it.name == name);
            let message = || format!("`{CHOICE}` names `{name}`, which is not among `{TOOLS}`");
            let unknown = || ApiError::invalid(CHOICE, message());
            Choice::Named(place.ok_or_else(unknown)?)
        }
        _ => {
            let wanted =
                r#"none, auto, required or {"type": "function", "function": {"name": "..."}}"#;
            return Err(wrong(CHOICE, wanted, &value));
        }
    };
    Ok(Some(choice))
}

impl Tools {
    /// The form that an answer is held to, which may else be `form`. Blocks.
    ///
    /// # Errors
    /// 400 for a second form that calls cannot stand beside.
    pub(super) fn form(
        &self,
        task: &TextTask,
        format: ToolFormat,
        form: Option<Wanted>,
    ) -> Result<Option<Wanted>, ApiError> {
        let special = |text: &str| task.special_token(text);
        let (functions, answer) = match (&self.choice, &form) {
            (Choice::Auto, None) => return Ok(None),
            (
                Choice::Auto,
                Some(Wanted {
                    form: Form::Json(schema),
                    ..
                }),
            ) => (self.functions.as_slice(), Some(schema)),
            (Choice::Required, None) => (self.functions.as_slice(), None),
            (Choice::Named(at), None) => (&self.functions[*at..=*at], None),
            (_, Some(Wanted { param, .. })) => {
                let message = format!(
                    "`{param}` can't be asked for beside `{TOOLS}`, unless it is for JSON and `{CHOICE}` is auto"
                );
                return Err(ApiError::invalid(param, message));
            }
        };
        let several = self.several && !matches!(self.choice, Choice::Named(_));
        let grammar = format.grammar(functions, several, answer, &special);
        Ok(Some(Wanted {
            param: TOOLS.to_owned(),
            form: Form::Written(grammar),
        }))
    }
}

/// What a model without tools says to them.
pub(super) fn no_tools() -> ApiError {
    let message = "`tools` can't be used: this model's chat template has no form of calls that is known here; \
                   leave them out, or ask a model that calls tools";
    ApiError::invalid(TOOLS, message).with_code("unsupported_parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(json: &Value) -> Result<Option<Tools>, ApiError> {
        let mut fields = Fields::parse(json.to_string().as_bytes()).unwrap();
        let tools = take(&mut fields)?;
        fields.finish(&[]).map(|()| tools)
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name}})
    }

    #[test]
    fn tools_and_choices_are_read() {
        let two = json!([tool("a"), tool("b-2")]);
        let chosen = |choice: Value| taken(&json!({"tools": two, "tool_choice": choice}));
        let auto = taken(&json!({"tools": two, "parallel_tool_calls": false}))
            .unwrap()
            .unwrap();
        assert_eq!((auto.choice, auto.several), (Choice::Auto, false));
        assert_eq!(auto.listed.len(), 2);
        assert_eq!(auto.functions[1].parameters, json!({"type": "object"}));
        assert_eq!(
            chosen(json!("required")).unwrap().unwrap().choice,
            Choice::Required
        );
        assert_eq!(
            chosen(tool("b-2")).unwrap().unwrap().choice,
            Choice::Named(1)
        );
        assert_eq!(chosen(json!("none")), Ok(None));
        for nothing in [
            json!({}),
            json!({"tools": []}),
            json!({"tool_choice": "auto"}),
        ] {
            assert_eq!(taken(&nothing), Ok(None));
        }
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        let with = |function: Value| json!({"tools": [{"type": "function", "function": function}]});
        for (json, param) in [
            (json!({"tools": {}}), "tools"),
            (json!({"tools": vec![tool("a"); 129]}), "tools"),
            (json!({"tools": [tool("a"), tool("a")]}), "tools"),
            (json!({"tools": [{"type": "retrieval"}]}), "tools[0].type"),
            (with(json!({})), "tools[0].function.name"),
            (
                with(json!({"name": "with space"})),
                "tools[0].function.name",
            ),
            (
                with(json!({"name": "a", "parameters": 5})),
                "tools[0].function.parameters",
            ),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [tool("a")], "tool_choice": tool("b")}),
                "tool_choice",
            ),
            (
                json!({"tools": [tool("a")], "tool_choice": "any"}),
                "tool_choice",
            ),
            (json!({"parallel_tool_calls": 1}), "parallel_tool_calls"),
        ] {
            let error = taken(&json).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
