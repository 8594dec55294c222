//! The messages of a chat request.

use serde_json::{Value, json};

use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};
use crate::load::ChatMessage;

/// Takes `messages`: at least one, each with a role, and with text or calls of tools.
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
    let role = role(&path, message.get("role"))?;
    let content = content(&path, &role, message.get("content"))?;
    let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_tool = role == "tool";
    let tool_call_id = text("tool_call_id").filter(|_| is_tool);
    if is_tool && tool_call_id.is_none() {
        let param = format!("{path}.tool_call_id");
        let message = format!("`{param}` must be the `id` of the call that this message answers");
        return Err(ApiError::invalid(param, message));
    }
    let tool_calls = match message.get("tool_calls") {
        Some(calls) if role == "assistant" => tool_calls(&format!("{path}.tool_calls"), calls)?,
        _ => Vec::new(),
    };
    Ok(ChatMessage {
        role,
        content,
        tool_calls,
        tool_call_id,
        name: text("name").filter(|_| is_tool),
    })
}

fn tool_calls(path: &str, calls: &Value) -> Result<Vec<Value>, ApiError> {
    let calls = match calls {
        Value::Null => return Ok(Vec::new()),
        Value::Array(calls) => calls.iter().enumerate(),
        other => return Err(wrong(path, "an array of calls", other)),
    };
    calls
        .map(|(at, call)| tool_call(&format!("{path}[{at}]"), call))
        .collect()
}

/// A call as chat templates take it: its arguments are JSON, where the text of the API's is that.
fn tool_call(path: &str, call: &Value) -> Result<Value, ApiError> {
    let function = &call["function"];
    let Some(name) = function["name"].as_str() else {
        return Err(wrong(
            &format!("{path}.function.name"),
            "a string",
            &function["name"],
        ));
    };
    let param = format!("{path}.function.arguments");
    let Some(text) = function["arguments"].as_str() else {
        return Err(wrong(&param, "a string of JSON", &function["arguments"]));
    };
    let arguments = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let id = match &call["id"] {
        Value::String(id) => id,
        other => return Err(wrong(&format!("{path}.id"), "a string", other)),
    };
    let function = json!({"name": name, "arguments": arguments});
    Ok(json!({"id": id, "type": "function", "function": function}))
}

fn role(path: &str, role: Option<&Value>) -> Result<String, ApiError> {
    let param = format!("{path}.role");
    match role.and_then(Value::as_str) {
        Some(role @ ("system" | "user" | "assistant" | "tool")) => Ok(role.to_owned()),
        // The newer name of the same role; chat templates know the older one.
        Some("developer") => Ok("system".to_owned()),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), |role| format!("`{role}`"));
            let message =
                format!("`{param}` is {found}; write system, developer, user, assistant or tool");
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
    fn calls_and_their_answers_are_messages() {
        let call = |arguments: &str| json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let read = messages(&json!([
            {"role": "assistant", "content": null, "tool_calls": [call("{\"a\": 1}"), call("{broken")]},
            {"role": "tool", "tool_call_id": "c1", "name": "f", "content": [{"type": "text", "text": "7"}]},
        ]));
        let [made, answered] = &read.unwrap()[..] else {
            panic!("two messages");
        };
        assert_eq!(made.tool_calls[0]["function"]["arguments"], json!({"a": 1}));
        assert_eq!(
            made.tool_calls[1]["function"]["arguments"],
            json!("{broken")
        );
        assert_eq!(answered.tool_call_id.as_deref(), Some("c1"));
        assert_eq!(
            (answered.name.as_deref(), &*answered.content),
            (Some("f"), "7")
        );
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
                json!([{"role": "function", "content": "x"}]),
                "messages[0].role",
            ),
            (
                json!([{"role": "tool", "content": "x"}]),
                "messages[0].tool_call_id",
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
                "messages[0].tool_calls[0].function.name",
            ),
            (
                json!([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]),
                "messages[0].tool_calls[0].function.arguments",
            ),
            (
                json!([{"role": "assistant", "tool_calls": "f()"}]),
                "messages[0].tool_calls",
            ),
        ] {
            let error = messages(&value).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
