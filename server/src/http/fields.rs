//! The fields of a request, read one by one, so that every error can name its parameter.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::errors::ApiError;

/// A JSON object whose fields are taken out as they are understood. `null` means absent.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// Names that were asked for: the parameters that the endpoint has.
    known: Vec<&'static str>,
}

/// A parameter of OpenAI's API that this server has no use for, and the values that ask nothing
/// of it.
pub(super) struct Unsupported {
    /// Name of the field.
    pub(super) name: &'static str,
    /// Whether a value asks for nothing.
    pub(super) is_harmless: fn(&Value) -> bool,
    /// What to write instead.
    pub(super) advice: &'static str,
}

impl Fields {
    /// The object in `body`.
    ///
    /// # Errors
    /// When it is no JSON, telling where, or no object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self {
                map,
                known: Vec::new(),
            }),
            Ok(other) => Err(ApiError::bad_request(format!(
                "the body must be a JSON object, not {}",
                describe(&other)
            ))),
            Err(error) => Err(ApiError::bad_request(format!(
                "the body is not valid JSON: {error}"
            ))
            .with_code("invalid_json")),
        }
    }

    /// Whether a field is still there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a field of any type.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a string.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// Takes a number within a range.
    ///
    /// # Errors
    /// When it is outside or something else.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|number| range.contains(number));
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        number.ok_or_else(|| wrong(name, &wanted, &value)).map(Some)
    }

    /// Takes a whole number of at least `least`.
    ///
    /// # Errors
    /// When it is less or something else.
    pub(super) fn integer(
        &mut self,
        name: &'static str,
        least: u64,
    ) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| *number >= least);
        let wanted = format!("a whole number of at least {least}");
        number.ok_or_else(|| wrong(name, &wanted, &value)).map(Some)
    }

    /// Takes the parameters that this server does not support.
    ///
    /// # Errors
    /// For the first of them that asks for something.
    pub(super) fn refuse(&mut self, unsupported: &[Unsupported]) -> Result<(), ApiError> {
        for parameter in unsupported {
            let Some(value) = self.take(parameter.name) else {
                continue;
            };
            if !(parameter.is_harmless)(&value) {
                let Unsupported { name, advice, .. } = parameter;
                let message = format!("`{name}` is not supported here; {advice}");
                return Err(ApiError::invalid(*name, message).with_code("unsupported_parameter"));
            }
        }
        Ok(())
    }

    /// Ends the reading; what is left and not in `ignored` is unknown.
    ///
    /// # Errors
    /// For the first unknown field, with the names of those that there are.
    pub(super) fn finish(self, ignored: &[&str]) -> Result<(), ApiError> {
        let mut left = self.map.keys();
        let Some(name) = left.find(|name| !ignored.contains(&name.as_str())) else {
            return Ok(());
        };
        let known: BTreeSet<&str> = self.known.iter().chain(ignored).copied().collect();
        let known: Vec<&str> = known.into_iter().collect();
        let message = format!(
            "`{name}` is not a parameter of this endpoint; leave it out, or write one of {}",
            known.join(", ")
        );
        Err(ApiError::invalid(name.as_str(), message).with_code("unknown_parameter"))
    }
}

/// The error of a field with a value that it cannot have.
pub(super) fn wrong(param: &str, wanted: &str, found: &Value) -> ApiError {
    let message = format!("`{param}` must be {wanted}, not {}", describe(found));
    ApiError::invalid(param, message)
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty array".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    fn error(result: Result<impl Sized, ApiError>) -> (String, Value) {
        let body = match result {
            Ok(_) => panic!("no error"),
            Err(error) => error.body(),
        };
        let message = body["error"]["message"].as_str().unwrap().to_owned();
        (message, body["error"]["param"].clone())
    }

    #[test]
    fn broken_json_is_located() {
        let (message, _) = error(Fields::parse(b"{\"a\": 1,\n \"b\" 2}"));
        assert!(message.contains("line 2 column 6"), "{message}");
        let (message, _) = error(Fields::parse(b"[1]"));
        assert!(message.contains("must be a JSON object, not an array"));
        let (message, _) = error(Fields::parse(b"\xff"));
        assert!(message.contains("not valid JSON"));
    }

    #[test]
    fn values_of_another_kind_name_the_parameter() {
        let json = r#"{"s": 1, "b": "x", "n": 2.5, "i": -1, "j": 1.5}"#;
        let mut fields = fields(json);
        let wanted = [
            (error(fields.string("s")), "s", "a string, not 1"),
            (
                error(fields.boolean("b")),
                "b",
                "true or false, not a string",
            ),
            (
                error(fields.number("n", 0.0..=2.0)),
                "n",
                "from 0 to 2, not 2.5",
            ),
            (error(fields.integer("i", 1)), "i", "at least 1, not -1"),
            (error(fields.integer("j", 1)), "j", "at least 1, not 1.5"),
        ];
        for ((message, param), name, text) in wanted {
            assert_eq!(param, name);
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn null_is_absent_and_the_rest_is_unknown() {
        let mut fields = fields(r#"{"a": null, "user": "me", "topp": 1}"#);
        assert_eq!(fields.string("a"), Ok(None));
        let (message, param) = error(fields.finish(&["user"]));
        assert_eq!(param, "topp");
        assert!(message.ends_with("leave it out, or write one of a, user"));
    }

    #[test]
    fn unsupported_parameters_may_ask_for_nothing() {
        const TABLE: &[Unsupported] = &[Unsupported {
            name: "n",
            is_harmless: |value| *value == 1,
            advice: "write n = 1",
        }];
        assert_eq!(fields(r#"{"n": 1}"#).refuse(TABLE), Ok(()));
        let (message, param) = error(fields(r#"{"n": 2}"#).refuse(TABLE));
        assert_eq!(param, "n");
        assert!(message.contains("write n = 1"));
    }
}
