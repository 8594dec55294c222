//! Texts or tokens of a request: a string, strings, token ids, or arrays of token ids.

use serde_json::Value;

use crate::http::ApiError;
use crate::http::fields::Fields;
use crate::tasks::Input;

/// Takes `name` in any of its four forms; gives from one input to `most`.
///
/// # Errors
/// 400 that names the field and, in a list, the item.
pub(super) fn take(
    fields: &mut Fields,
    name: &'static str,
    most: usize,
) -> Result<Vec<Input>, ApiError> {
    let forms = "a string, an array of strings, an array of token ids or an array of such arrays";
    let value = fields.take(name).unwrap_or_default();
    let items = match &value {
        Value::String(text) => return Ok(vec![Input::Text(text.clone())]),
        Value::Array(items) => items,
        _ => return Err(ApiError::invalid(name, format!("`{name}` must be {forms}"))),
    };
    let Some(first) = items.first() else {
        let message = format!("`{name}` is an empty array; write at least one text");
        return Err(ApiError::invalid(name, message));
    };
    if first.is_number() {
        return Ok(vec![Input::Tokens(ids(name, items)?)]);
    }
    if items.len() > most {
        let count = items.len();
        let message = format!("`{name}` has {count} items; send at most {most} in one request");
        return Err(ApiError::invalid(name, message));
    }
    let strings = first.is_string();
    let each = items.iter().enumerate();
    each.map(|(index, item)| match item {
        Value::String(text) if strings => Ok(Input::Text(text.clone())),
        Value::Array(tokens) if !strings => {
            ids(&format!("{name}[{index}]"), tokens).map(Input::Tokens)
        }
        _ => {
            let param = format!("{name}[{index}]");
            let message = format!("`{param}` is not like the others; `{name}` must be {forms}");
            Err(ApiError::invalid(param, message))
        }
    })
    .collect()
}

/// The token ids that `items` are.
///
/// # Errors
/// 400 that names `param`.
pub(super) fn ids(param: &str, items: &[Value]) -> Result<Vec<u32>, ApiError> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let all: Option<Vec<u32>> = items.iter().map(id).collect();
    all.ok_or_else(|| {
        let message = format!("`{param}` must hold token ids: whole numbers from 0");
        ApiError::invalid(param, message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(value: &Value) -> Result<Vec<Input>, ApiError> {
        let body = json!({"input": value}).to_string();
        take(&mut Fields::parse(body.as_bytes()).unwrap(), "input", 3)
    }

    fn text(text: &str) -> Input {
        Input::Text(text.to_owned())
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(inputs(&json!("a")), Ok(vec![text("a")]));
        assert_eq!(inputs(&json!(["a", ""])), Ok(vec![text("a"), text("")]));
        let tokens = Input::Tokens(vec![1, 2, 3, 4]);
        assert_eq!(inputs(&json!([1, 2, 3, 4])), Ok(vec![tokens.clone()]));
        let empty = Input::Tokens(vec![]);
        assert_eq!(inputs(&json!([[1, 2, 3, 4], []])), Ok(vec![tokens, empty]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (value, param) in [
            (json!(null), "input"),
            (json!({}), "input"),
            (json!([]), "input"),
            (json!([null]), "input[0]"),
            (json!(["a", 1]), "input[1]"),
            (json!([1, "a"]), "input"),
            (json!([1, -1]), "input"),
            (json!([[1], [2.5]]), "input[1]"),
            (json!(["a", "b", "c", "d"]), "input"),
        ] {
            let error = inputs(&value).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{value}: {error}");
        }
    }
}
