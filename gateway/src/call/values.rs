//! Values of which one kind counts, and any other is no error here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Takes any scalar but a boolean for nothing.
macro_rules! anything_else {
    () => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("anything")
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}
pub(super) use anything_else;

/// A text, or what stands in its place. One without an escape is not copied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// Nothing, or null.
    #[default]
    None,
    /// A text.
    Is(Cow<'a, str>),
    /// Something else: what.
    Other(&'static str),
}

/// True, or anything else.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Flags)
    }
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text::Is(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text::Is(text.to_owned().into()))
    }

    fn visit_unit<E>(self) -> Result<Text<'de>, E> {
        Ok(Text::None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
        Ok(Text::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
        Ok(Text::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Text<'de>, A::Error> {
        skip_items(items)?;
        Ok(Text::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Text<'de>, A::Error> {
        skip_fields(fields)?;
        Ok(Text::Other("an object"))
    }
}

struct Flags;

impl<'de> Visitor<'de> for Flags {
    type Value = Flag;

    anything_else!();

    fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Flag, A::Error> {
        skip_items(items)?;
        Ok(Flag::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Flag, A::Error> {
        skip_fields(fields)?;
        Ok(Flag::default())
    }
}

/// Reads what is left of a list.
pub(super) fn skip_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads what is left of an object.
pub(super) fn skip_fields<'de, A: MapAccess<'de>>(mut fields: A) -> Result<(), A::Error> {
    while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_text_is_one_and_all_else_is_told_by_its_kind() {
        for (json, wanted) in [
            (r#""a""#, Text::Is("a".into())),
            (r#""\u0061""#, Text::Is("a".into())),
            ("null", Text::None),
            ("true", Text::Other("a boolean")),
            ("7", Text::Other("a number")),
            ("-7", Text::Other("a number")),
            ("0.7", Text::Other("a number")),
            (r#"[[1],"a"]"#, Text::Other("an array")),
            (r#"{"a":{"b":1}}"#, Text::Other("an object")),
        ] {
            let text: Text<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(text, wanted, "{json}");
        }
        for broken in ["[1", r#"{"a":}"#, "[nope]"] {
            assert!(
                serde_json::from_str::<Text<'_>>(broken).is_err(),
                "{broken}"
            );
        }
    }
}
