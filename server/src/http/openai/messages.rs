//! The messages of a chat request.

use serde_json::Value;

use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};
use crate::load::ChatMessage;

/// Takes `messages`: at least one, each with a role and text.
///
/// # Errors
/// 400 that names the message.
pub(super) fn take(fields: &mut Fields) -> Result<Vec<ChatMessage>, ApiError> {
    let value = fields.take("messages").unwrap_or_default();
    let example = r#"[{"role": "user", "content": "Hello"}]"#;
    match &value {
        Value::Array(messages) if !messages.is_empty() => {
            let each = messages.iter().enumerate();
            each.map(|(index, message)| read(index, message)).collect()
        }
        _ => Err(ApiError::invalid(
            "messages",
            format!("`messages` must be an array of at least one message; write {example}"),
        )),
    }
}

fn read(index: usize, message: &Value) -> Result<ChatMessage, ApiError> {
    let path = format!("messages[{index}]");
    let Value::Object(message) = message else {
        return Err(wrong(&path, "an object with `role` and `content`", message));
    };
    let asks_nothing =
        |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    if !message.get("tool_calls").is_none_or(asks_nothing) {
        let param = format!("{path}.tool_calls");
        let message = format!("`{param}` is not supported here; this server calls no tools");
        return Err(ApiError::invalid(param, message).with_code("unsupported_parameter"));
    }
    let role = role(&path, message.get("role"))?;
    let content = content(&path, &role, message.get("content"))?;
    Ok(ChatMessage { role, content })
}

fn role(path: &str, role: Option<&Value>) -> Result<String, ApiError> {
    let param = format!("{path}.role");
    match role.and_then(Value::as_str) {
        Some(role @ ("system" | "user" | "assistant")) => Ok(role.to_owned()),
        // The newer name of the same role; chat templates know the older one.
        Some("developer") => Ok("system".to_owned()),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), |role| format!("`{role}`"));
            let message =
                format!("`{param}` is {found}; write system, developer, user or assistant");
            Err(ApiError::invalid(param, message))
        }
    }
}

fn content(path: &str, role: &str, content: Option<&Value>) -> Result<String, ApiError> {
    let param = format!("{path}.content");
    match content {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => parts
            .iter()
            .enumerate()
            .map(|(index, part)| text_part(&format!("{param}[{index}]"), part))
            .collect(),
        None | Some(Value::Null) if role == "assistant" => Ok(String::new()),
        other => {
            let found = other.cloned().unwrap_or_default();
            Err(wrong(&param, "a string or an array of text parts", &found))
        }
    }
}

fn text_part<'a>(param: &str, part: &'a Value) -> Result<&'a str, ApiError> {
    let text = part.get("text").and_then(Value::as_str);
    match (part.get("type").and_then(Value::as_str), text) {
        (Some("text"), Some(text)) => Ok(text),
        (Some(kind), _) if kind != "text" => Err(ApiError::invalid(
            param,
            format!("`{param}` is of type `{kind}`; this model reads only parts of type `text`"),
        )),
        _ => Err(ApiError::invalid(
            param,
            format!(r#"`{param}` must be a text part: {{"type": "text", "text": "..."}}"#),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(value: &Value) -> Result<Vec<ChatMessage>, ApiError> {
        let body = json!({"messages": value}).to_string();
        take(&mut Fields::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn strings_and_text_parts_are_content() {
        let read = messages(&json!([
            {"role": "developer", "content": "Be brief.", "name": "x"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": null, "tool_calls": []},
        ]));
        let read: Vec<(String, String)> = read
            .unwrap()
            .into_iter()
            .map(|m| (m.role, m.content))
            .collect();
        let expected = [("system", "Be brief."), ("user", "ab"), ("assistant", "")];
        assert_eq!(read, expected.map(|(r, c)| (r.to_owned(), c.to_owned())));
    }

    #[test]
    fn the_message_that_cannot_be_taken_is_named() {
        let user = json!({"role": "user", "content": "x"});
        for (value, param) in [
            (json!([]), "messages"),
            (json!("hello"), "messages"),
            (json!(["hello"]), "messages[0]"),
            (json!([user, {"content": "x"}]), "messages[1].role"),
            (
                json!([{"role": "tool", "content": "x"}]),
                "messages[0].role",
            ),
            (json!([{"role": "user"}]), "messages[0].content"),
            (
                json!([{"role": "user", "content": 5}]),
                "messages[0].content",
            ),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
                "messages[0].content[0]",
            ),
            (
                json!([{"role": "assistant", "tool_calls": [{"id": "1"}]}]),
                "messages[0].tool_calls",
            ),
        ] {
            let error = messages(&value).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
