//! The beginning of a conversation, read in the one pass over a request's JSON.

use chandler_core::traffic::affinity::key_of;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::head::{PREFIX, beginning};
use super::values::{Text, anything_else, skip_fields, skip_items};

/// The role whose first message ends the beginning of a conversation: what follows grows with
/// each turn.
const USER: &str = "user";

/// Equal for conversations that begin alike: of the roles and contents up to the first message of
/// the user's, contents as their JSON stands, since a caller writes a message in the same way each
/// time.
/// `None` where there is no such message, or what stands there are no messages at all: that is the
/// replica's to refuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Beginning(pub(super) Option<u64>);

/// One message, or anything else in its place.
#[derive(Debug, Default)]
struct Message<'a> {
    role: Text<'a>,
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Role,
    Content,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Beginning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Messages)
    }
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Parts)
    }
}

struct Messages;

impl<'de> Visitor<'de> for Messages {
    type Value = Beginning;

    anything_else!();

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Beginning, A::Error> {
        let mut text = Vec::with_capacity(PREFIX);
        while let Some(message) = messages.next_element::<Message<'de>>()? {
            let Message { role, content } = message;
            let role = if let Text::Is(role) = &role { role } else { "" };
            let content = content.map_or("", RawValue::get);
            for part in [role, content] {
                text.extend_from_slice(beginning(part.as_bytes()));
            }
            if role == USER {
                skip_items(messages)?;
                text.truncate(PREFIX);
                return Ok(Beginning(Some(key_of(&text))));
            }
        }
        Ok(Beginning(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Beginning, A::Error> {
        skip_fields(fields)?;
        Ok(Beginning(None))
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Message<'de>;

    anything_else!();

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Message<'de>, A::Error> {
        skip_items(items)?;
        Ok(Message::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Message<'de>, A::Error> {
        let mut message = Message::default();
        while let Some(key) = fields.next_key()? {
            match key {
                Key::Role => message.role = fields.next_value()?,
                Key::Content => message.content = Some(fields.next_value()?),
                Key::Other => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(messages: &str) -> Option<u64> {
        serde_json::from_str::<Beginning>(messages).unwrap().0
    }

    #[test]
    fn what_follows_the_user_s_first_message_does_not_count() {
        let first = of(r#"[{"role":"system","content":"a"},{"role":"user","content":"b"}]"#);
        assert!(first.is_some());
        for later in [
            r#"[{"role":"system","content":"a"},{"content":"b","role":"user"},7,{"role":"user"}]"#,
            r#"[{"name":{"x":[1]},"role":"system","content":"a"},{"role":"user","content":"b"},{}]"#,
        ] {
            assert_eq!(of(later), first, "{later}");
        }
        let other = r#"[{"role":"system","content":"c"},{"role":"user","content":"b"}]"#;
        assert_ne!(of(other), first);
    }

    #[test]
    fn what_is_no_conversation_has_no_beginning() {
        for none in [
            "null",
            "true",
            "-7",
            "7",
            "0.5",
            "\"text\"",
            "[]",
            "{}",
            "{\"a\":[1]}",
            "[null,true,-7,7,0.5,\"text\",[1,[2]],{\"a\":{}}]",
            r#"[{"role":"system","content":"a"}]"#,
            r#"[{"role":["user"],"content":"a"}]"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert!(serde_json::from_str::<Beginning>("[{]").is_err());
        assert!(serde_json::from_str::<Beginning>(r#"[{"role":"user"},nope]"#).is_err());
    }
}
