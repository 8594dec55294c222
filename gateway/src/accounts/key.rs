//! API keys as callers send them and as they are kept: a key itself is kept nowhere.

use std::fmt::{self, Debug, Display, Write};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

/// Longest key that is looked at, bytes.
const MAX_KEY: usize = 512;
/// Bytes of a hash.
const LENGTH: usize = 32;

/// SHA-256 of a whole key. Looking it up tells by its time nothing of the key: who can't invert
/// the hash can't choose its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; LENGTH]);

impl KeyHash {
    /// Of the key's text.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// From 64 hexadecimal digits, in lower or upper case.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * LENGTH {
            return None;
        }
        let mut hash = [0; LENGTH];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(hash))
    }
}

impl Display for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Debug for KeyHash {
    /// Its beginning, which is enough to find it by.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, ..] = self.0;
        write!(formatter, "KeyHash({first:02x}{second:02x}{third:02x}")?;
        formatter.write_char('…')?;
        formatter.write_char(')')
    }
}

/// The hash of the key that a caller sent as `Authorization: Bearer KEY`; `None` if it sent
/// nothing of that form.
pub(super) fn sent(headers: &HeaderMap) -> Option<KeyHash> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    let key = key.trim();
    let is_key = scheme.eq_ignore_ascii_case("bearer") && (1..=MAX_KEY).contains(&key.len());
    is_key.then(|| KeyHash::of(key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;

    use super::*;

    /// Of `abc`, from FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_are_sha_256_in_hexadecimal() {
        let hash = KeyHash::of("abc");
        assert_eq!(hash.to_string(), ABC);
        assert_eq!(KeyHash::from_hex(ABC), Some(hash));
        assert_eq!(KeyHash::from_hex(&ABC.to_uppercase()), Some(hash));
        let umlauts = "ä".repeat(LENGTH);
        for bad in ["", &ABC[1..], &format!("{}g", &ABC[1..]), &umlauts, "abc"] {
            assert_eq!(KeyHash::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_tells_only_the_beginning() {
        assert_eq!(format!("{:?}", KeyHash::of("abc")), "KeyHash(ba7816…)");
    }

    #[test]
    fn the_key_is_the_bearer_token() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(header::AUTHORIZATION, value);
            sent(&headers)
        };
        for good in ["Bearer abc", "bearer abc", "BEARER   abc ", " Bearer abc"] {
            assert_eq!(of(good), Some(KeyHash::of("abc")), "{good}");
        }
        let endless = format!("Bearer {}", "a".repeat(MAX_KEY + 1));
        for bad in [
            "",
            "abc",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearer ä",
            &endless,
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(sent(&HeaderMap::new()), None);
    }
}
