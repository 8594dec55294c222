//! Where a request stands among those that wait: whose it is, and how urgent.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::HeaderMap;
use chandler_crds::names::headers;
use serde_json::Value;

use crate::engine::Standing;
use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};

/// The caller that the gateway names.
pub(super) fn named_caller(headers: &HeaderMap) -> Option<u64> {
    let name = headers.get(headers::CALLER)?;
    Some(equal_for_equals(name.as_bytes()))
}

/// Takes what tells it out of `fields`. The caller is the one that was `named`, else the `user` of OpenAI's
/// API; `priority` is vLLM's, the smaller goes first.
///
/// # Errors
/// 400 for a priority that is no whole number of 32 bits.
pub(super) fn take(fields: &mut Fields, named: Option<u64>) -> Result<Standing, ApiError> {
    let user = fields.take("user");
    let caller = named.or_else(|| user.map(|user| equal_for_equals(user.to_string().as_bytes())));
    Ok(Standing {
        caller: caller.unwrap_or_default(),
        priority: priority(fields)?,
    })
}

fn priority(fields: &mut Fields) -> Result<i32, ApiError> {
    let Some(value) = fields.take("priority") else {
        return Ok(0);
    };
    let wanted = "a whole number, the smaller the more urgent, such as -1";
    let number = Value::as_i64(&value).and_then(|number| i32::try_from(number).ok());
    number.ok_or_else(|| wrong("priority", wanted, &value))
}

/// Two callers that meet in one number share their turns, no more.
fn equal_for_equals(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn standing(body: &Value, caller: Option<&'static str>) -> Result<Standing, ApiError> {
        let mut fields = Fields::parse(body.to_string().as_bytes())?;
        let mut headers = HeaderMap::new();
        if let Some(caller) = caller {
            headers.insert(headers::CALLER, HeaderValue::from_static(caller));
        }
        let standing = take(&mut fields, named_caller(&headers))?;
        fields.finish(&[]).map(|()| standing)
    }

    #[test]
    fn the_gateway_names_the_caller_else_the_request_does() {
        let caller = |body: Value, caller| standing(&body, caller).unwrap().caller;
        assert_eq!(caller(json!({}), None), 0);
        let (anna, ben) = (json!({"user": "anna"}), json!({"user": "ben"}));
        assert_eq!(caller(anna.clone(), None), caller(anna.clone(), None));
        assert_ne!(caller(anna.clone(), None), caller(ben.clone(), None));
        assert_eq!(caller(anna.clone(), Some("x")), caller(ben, Some("x")));
        assert_ne!(caller(anna.clone(), Some("x")), caller(anna, Some("y")));
    }

    #[test]
    fn a_priority_is_a_whole_number() {
        let priority = |value: Value| standing(&json!({"priority": value}), None);
        assert_eq!(priority(json!(-3)).unwrap().priority, -3);
        assert_eq!(priority(Value::Null).unwrap().priority, 0);
        for wrong in [json!(1.5), json!("high"), json!(1_u64 << 40)] {
            assert!(priority(wrong).is_err());
        }
    }
}
