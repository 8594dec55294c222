//! The parameters that hold an answer to a form: OpenAI's `response_format`, and those of vLLM.

use serde_json::{Map, Value, json};

use crate::engine::Constraint;
use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};
use crate::tasks::{Form, GrammarError, TextTask};

const RESPONSE_FORMAT: &str = "response_format";
const STRUCTURED: &str = "structured_outputs";
/// What vLLM's parameters hold an answer to, and the older names of the same.
const KINDS: [(&str, &str); 5] = [
    ("json", "guided_json"),
    ("regex", "guided_regex"),
    ("grammar", "guided_grammar"),
    ("choice", "guided_choice"),
    ("json_object", ""),
];

/// A form, and the parameter that asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) param: String,
    pub(super) form: Form,
}

impl Wanted {
    /// A constraint to the form. Blocks.
    ///
    /// # Errors
    /// 400 with what is wrong with it.
    pub(super) fn compile(&self, task: &TextTask) -> Result<Constraint, ApiError> {
        let compiled = task.constraint(&self.form);
        compiled.map_err(|error| self.refuse(&error))
    }

    fn refuse(&self, error: &GrammarError) -> ApiError {
        let param = &self.param;
        let advice = match (&self.form, error) {
            (Form::Grammar(_), GrammarError::Invalid(_)) => {
                "; write it in Lark's notation, with a rule `start: ...`"
            }
            _ => "",
        };
        let message = format!("`{param}` can't be used: {error}{advice}");
        ApiError::invalid(param, message).with_code("invalid_form")
    }
}

/// Takes the one form that a request asks for.
///
/// # Errors
/// 400 that names the parameter, also where there are two of them.
pub(super) fn take(fields: &mut Fields) -> Result<Option<Wanted>, ApiError> {
    let mut wanted: Vec<Wanted> = response_format(fields)?.into_iter().collect();
    match fields.take(STRUCTURED) {
        None => {}
        Some(Value::Object(map)) => wanted.extend(structured(map)?),
        Some(other) => {
            return Err(wrong(
                STRUCTURED,
                "an object such as {\"regex\": \"[a-z]+\"}",
                &other,
            ));
        }
    }
    for (kind, older) in KINDS.iter().filter(|(_, older)| !older.is_empty()) {
        if let Some(value) = fields.take(older) {
            wanted.extend(form(older, kind, value)?);
        }
    }
    match wanted.len() {
        0 | 1 => Ok(wanted.pop()),
        _ => {
            let param = wanted.swap_remove(1).param;
            let message = format!("`{param}` is a second form of one answer; ask for one alone");
            Err(ApiError::invalid(param, message))
        }
    }
}

fn structured(map: Map<String, Value>) -> Result<Vec<Wanted>, ApiError> {
    let mut wanted = Vec::new();
    for (name, value) in map {
        let param = format!("{STRUCTURED}.{name}");
        if !KINDS.iter().any(|(kind, _)| *kind == name) {
            let known = KINDS.map(|(kind, _)| kind).join(", ");
            let message = format!("`{param}` is not known here; write one of {known}");
            return Err(ApiError::invalid(param, message).with_code("unknown_parameter"));
        }
        if !value.is_null() {
            wanted.extend(form(&param, &name, value)?);
        }
    }
    Ok(wanted)
}

/// The form that a parameter of a kind asks for; `None` where it asks for none.
fn form(param: &str, kind: &str, value: Value) -> Result<Option<Wanted>, ApiError> {
    let form = match (kind, value) {
        ("regex", Value::String(regex)) => Form::Regex(regex),
        ("grammar", Value::String(grammar)) => Form::Grammar(grammar),
        ("regex" | "grammar", other) => return Err(wrong(param, "a string", &other)),
        ("json_object", Value::Bool(true)) => any_object(),
        ("json_object", Value::Bool(false)) => return Ok(None),
        ("json_object", other) => return Err(wrong(param, "true or false", &other)),
        ("choice", value) => Form::Choice(choice(param, &value)?),
        (_, value) => Form::Json(schema(param, value)?),
    };
    let param = param.to_owned();
    Ok(Some(Wanted { param, form }))
}

fn any_object() -> Form {
    Form::Json(json!({"type": "object"}))
}

fn choice(param: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let texts = value.as_array().into_iter().flatten();
    let texts = texts.map(|text| Some(text.as_str().filter(|text| !text.is_empty())?.to_owned()));
    let texts: Option<Vec<String>> = texts.collect();
    let wanted = "an array of at least one string, none of them empty";
    let texts = texts.filter(|texts| !texts.is_empty());
    texts.ok_or_else(|| wrong(param, wanted, value))
}

/// A schema, as an object or as the text of one.
fn schema(param: &str, value: Value) -> Result<Value, ApiError> {
    let parsed = match &value {
        Value::Object(_) => return Ok(value),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let parsed = parsed.filter(Value::is_object);
    parsed.ok_or_else(|| wrong(param, "a JSON schema, which is an object", &value))
}

fn response_format(fields: &mut Fields) -> Result<Option<Wanted>, ApiError> {
    let Some(format) = fields.take(RESPONSE_FORMAT) else {
        return Ok(None);
    };
    let form = match format["type"].as_str() {
        Some("text") => return Ok(None),
        Some("json_object") => any_object(),
        Some("json_schema") => {
            let param = format!("{RESPONSE_FORMAT}.json_schema");
            let Value::Object(described) = &format["json_schema"] else {
                let wanted = "an object with `name` and `schema`";
                return Err(wrong(&param, wanted, &format["json_schema"]));
            };
            let asked = described.get("schema").cloned().unwrap_or_default();
            Form::Json(schema(&format!("{param}.schema"), asked)?)
        }
        _ => {
            let param = format!("{RESPONSE_FORMAT}.type");
            let message = format!("`{param}` must be text, json_object or json_schema");
            return Err(ApiError::invalid(param, message));
        }
    };
    let param = RESPONSE_FORMAT.to_owned();
    Ok(Some(Wanted { param, form }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(json: &Value) -> Result<Option<Form>, ApiError> {
        let mut fields = Fields::parse(json.to_string().as_bytes()).unwrap();
        let wanted = take(&mut fields)?;
        fields
            .finish(&[])
            .map(|()| wanted.map(|wanted| wanted.form))
    }

    #[test]
    fn each_parameter_asks_for_its_form() {
        let schema = json!({"type": "array"});
        let described = json!({"name": "x", "strict": true, "schema": schema});
        let object = Form::Json(json!({"type": "object"}));
        let texts = vec!["a".to_owned(), "b".to_owned()];
        for (json, form) in [
            (json!({"response_format": {"type": "text"}}), None),
            (
                json!({"response_format": {"type": "json_object"}}),
                Some(object.clone()),
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": described}}),
                Some(Form::Json(schema.clone())),
            ),
            (
                json!({"structured_outputs": {"json": schema}}),
                Some(Form::Json(schema.clone())),
            ),
            (
                json!({"guided_json": schema.to_string()}),
                Some(Form::Json(schema.clone())),
            ),
            (
                json!({"structured_outputs": {"regex": "a+"}}),
                Some(Form::Regex("a+".to_owned())),
            ),
            (
                json!({"guided_grammar": "start: \"a\""}),
                Some(Form::Grammar("start: \"a\"".to_owned())),
            ),
            (
                json!({"guided_choice": ["a", "b"]}),
                Some(Form::Choice(texts)),
            ),
            (
                json!({"structured_outputs": {"json_object": true, "regex": null}}),
                Some(object),
            ),
            (json!({"structured_outputs": {"json_object": false}}), None),
        ] {
            assert_eq!(taken(&json), Ok(form), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        let schema = json!({"type": "json_schema", "json_schema": {"name": "x"}});
        for (json, param) in [
            (
                json!({"response_format": {"type": "xml"}}),
                "response_format.type",
            ),
            (json!({"response_format": "json"}), "response_format.type"),
            (
                json!({"response_format": schema}),
                "response_format.json_schema.schema",
            ),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format.json_schema",
            ),
            (json!({"structured_outputs": "a"}), "structured_outputs"),
            (
                json!({"structured_outputs": {"xml": 1}}),
                "structured_outputs.xml",
            ),
            (
                json!({"structured_outputs": {"regex": 1}}),
                "structured_outputs.regex",
            ),
            (
                json!({"structured_outputs": {"json": [1]}}),
                "structured_outputs.json",
            ),
            (json!({"guided_choice": []}), "guided_choice"),
            (json!({"guided_choice": ["a", ""]}), "guided_choice"),
            (
                json!({"guided_regex": "a", "guided_json": {}}),
                "guided_regex",
            ),
        ] {
            let error = taken(&json).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
