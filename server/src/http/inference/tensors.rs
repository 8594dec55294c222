//! Tensors of texts in requests.

use serde_json::{Map, Value};

use super::super::ApiError;
use super::super::fields::wrong;
use super::super::openai::MAX_INPUTS;
use super::{BYTES, TEXT};
use crate::tasks::Input;

/// The texts of the one tensor in `inputs`.
///
/// # Errors
/// 400 that names the part of the tensor.
pub(super) fn texts(inputs: Option<Value>) -> Result<Vec<Input>, ApiError> {
    let inputs = inputs.unwrap_or_default();
    let wanted = format!("an array of one tensor, `{TEXT}`");
    let Some([Value::Object(tensor)]) = inputs.as_array().map(Vec::as_slice) else {
        return Err(wrong("inputs", &wanted, &inputs));
    };
    word(tensor, "name", TEXT)?;
    word(tensor, "datatype", BYTES)?;
    as_json("inputs[0]", tensor.get("parameters"))?;
    let rows = rows(tensor.get("shape"))?;
    let data = tensor.get("data").unwrap_or(&Value::Null);
    let texts = flat(data)?;
    if texts.len() != rows {
        let message = format!(
            "`inputs[0].shape` tells {rows} texts, `inputs[0].data` has {}",
            texts.len()
        );
        return Err(ApiError::invalid("inputs[0].data", message));
    }
    Ok(texts)
}

/// The names of the tensors that are to be answered, each once: of a model's `own` those that `outputs` has, and all
/// where it has none.
///
/// # Errors
/// 400 for another tensor, or another form of it.
pub(super) fn wanted(
    outputs: Option<Value>,
    own: &[&'static str],
) -> Result<Vec<&'static str>, ApiError> {
    let Some(outputs) = outputs else {
        return Ok(own.to_vec());
    };
    let Value::Array(items) = &outputs else {
        return Err(wrong("outputs", "an array of tensors", &outputs));
    };
    let mut wanted = Vec::new();
    for (index, output) in items.iter().enumerate() {
        let asked = output.get("name").and_then(Value::as_str);
        let Some(&name) = own.iter().find(|name| Some(**name) == asked) else {
            let param = format!("outputs[{index}].name");
            let names = own.join("\" or \"");
            let message = format!("`{param}` must be \"{names}\": the model has no other output");
            return Err(ApiError::invalid(param, message));
        };
        as_json(&format!("outputs[{index}]"), output.get("parameters"))?;
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    if wanted.is_empty() {
        wanted.extend(own);
    }
    Ok(wanted)
}

/// Checks that no tensor is asked for, or sent, as bytes beside the JSON: an extension of the protocol.
///
/// # Errors
/// 400 for parameters that do, and for those that are no object.
pub(super) fn as_json(of: &str, parameters: Option<&Value>) -> Result<(), ApiError> {
    let param = match of {
        "" => "parameters".to_owned(),
        of => format!("{of}.parameters"),
    };
    let parameters = match parameters {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(parameters)) => parameters,
        Some(other) => return Err(wrong(&param, "an object", other)),
    };
    for name in ["binary_data", "binary_data_output", "binary_data_size"] {
        let value = parameters.get(name).unwrap_or(&Value::Null);
        if !value.is_null() && *value != false {
            let param = format!("{param}.{name}");
            let message = format!("`{param}` is not supported here; tensors are written as JSON");
            return Err(ApiError::invalid(param, message).with_code("unsupported_parameter"));
        }
    }
    Ok(())
}

/// A field of the tensor that has one value only.
fn word(tensor: &Map<String, Value>, field: &str, wanted: &str) -> Result<(), ApiError> {
    let found = tensor.get(field).unwrap_or(&Value::Null);
    if found == wanted {
        return Ok(());
    }
    let param = format!("inputs[0].{field}");
    let message = format!("`{param}` must be \"{wanted}\", not {found}");
    Err(ApiError::invalid(param, message))
}

/// How many texts a shape tells: `[n]`, or `[n, 1]`.
fn rows(shape: Option<&Value>) -> Result<usize, ApiError> {
    let shape = shape.unwrap_or(&Value::Null);
    let lengths = shape.as_array().map(Vec::as_slice);
    let rows = match lengths {
        Some([rows]) => rows.as_u64(),
        Some([rows, one]) if *one == 1 => rows.as_u64(),
        _ => None,
    };
    let rows = rows.and_then(|rows| usize::try_from(rows).ok());
    match rows.filter(|rows| (1..=MAX_INPUTS).contains(rows)) {
        Some(rows) => Ok(rows),
        None => {
            let message = format!(
                "`inputs[0].shape` must be [n] or [n, 1] with n from 1 to {MAX_INPUTS}, not {shape}"
            );
            Err(ApiError::invalid("inputs[0].shape", message))
        }
    }
}

/// The texts of data that is flat, or has an array for each row.
fn flat(data: &Value) -> Result<Vec<Input>, ApiError> {
    let wanted = "an array of strings";
    let Value::Array(items) = data else {
        return Err(wrong("inputs[0].data", wanted, data));
    };
    let text = |(index, item): (usize, &Value)| {
        let text = match item.as_array().map(Vec::as_slice) {
            Some([inner]) => inner.as_str(),
            _ => item.as_str(),
        };
        let param = || format!("inputs[0].data[{index}]");
        let text = text.ok_or_else(|| wrong(&param(), "a string", item))?;
        Ok(Input::Text(text.to_owned()))
    };
    items.iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tensor(changed: &[(&str, Value)]) -> Value {
        let mut tensor =
            json!({"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]});
        for (name, value) in changed {
            tensor[*name] = value.clone();
        }
        json!([tensor])
    }

    #[test]
    fn flat_and_nested_data_are_the_same_texts() {
        let wanted: Vec<Input> = ["a", "b"].map(|text| Input::Text(text.to_owned())).into();
        let nested = json!([["a"], ["b"]]);
        for inputs in [
            tensor(&[]),
            tensor(&[("shape", json!([2, 1]))]),
            tensor(&[("shape", json!([2, 1])), ("data", nested)]),
            tensor(&[("parameters", json!({"content_type": "str"}))]),
        ] {
            assert_eq!(texts(Some(inputs)), Ok(wanted.clone()));
        }
    }

    #[test]
    fn the_part_that_cannot_be_taken_is_named() {
        for (inputs, param) in [
            (json!(null), "inputs"),
            (json!([]), "inputs"),
            (json!([1]), "inputs"),
            (tensor(&[("name", json!("x"))]), "inputs[0].name"),
            (tensor(&[("datatype", json!("FP32"))]), "inputs[0].datatype"),
            (tensor(&[("shape", json!([]))]), "inputs[0].shape"),
            (tensor(&[("shape", json!([2, 2]))]), "inputs[0].shape"),
            (tensor(&[("shape", json!([0]))]), "inputs[0].shape"),
            (tensor(&[("shape", json!([-1]))]), "inputs[0].shape"),
            (tensor(&[("shape", json!([2049]))]), "inputs[0].shape"),
            (tensor(&[("shape", json!([3]))]), "inputs[0].data"),
            (tensor(&[("data", json!("a"))]), "inputs[0].data"),
            (tensor(&[("data", json!(["a", 1]))]), "inputs[0].data[1]"),
            (
                tensor(&[("data", json!(["a", ["b", "c"]]))]),
                "inputs[0].data[1]",
            ),
            (tensor(&[("parameters", json!(1))]), "inputs[0].parameters"),
            (
                tensor(&[("parameters", json!({"binary_data_size": 4}))]),
                "inputs[0].parameters.binary_data_size",
            ),
        ] {
            let error = texts(Some(inputs.clone())).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{inputs}: {error}");
        }
    }

    #[test]
    fn outputs_are_chosen_by_name() {
        let ask = |outputs: Value| wanted(Some(outputs), &["probabilities", "label"]);
        let both = vec!["probabilities", "label"];
        assert_eq!(wanted(None, &["probabilities", "label"]), Ok(both.clone()));
        assert_eq!(ask(json!([])), Ok(both));
        let [label, probabilities] = ["label", "probabilities"].map(|name| json!({"name": name}));
        assert_eq!(ask(json!([label])), Ok(vec!["label"]));
        let turned = ask(json!([label, probabilities, label]));
        assert_eq!(turned, Ok(vec!["label", "probabilities"]));
        let binary = json!({"name": "label", "parameters": {"binary_data": true}});
        for (outputs, param) in [
            (json!({}), "outputs"),
            (json!([{"name": "logits"}]), "outputs[0].name"),
            (json!([binary]), "outputs[0].parameters.binary_data"),
        ] {
            let error = ask(outputs).unwrap_err().body();
            assert_eq!(error["error"]["param"], param, "{error}");
        }
    }
}
