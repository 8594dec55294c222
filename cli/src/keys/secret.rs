use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chandler_crds::names::api_key;
use rand::TryRngCore;
use rand::rngs::OsRng;

/// Bytes of randomness in a key.
const ENTROPY: usize = 32;

/// A new key: 256 bits of the system's randomness as text that needs no quoting.
///
/// # Errors
/// The system gives no randomness.
pub(super) fn new_key() -> Result<String> {
    let mut bytes = [0; ENTROPY];
    OsRng
        .try_fill_bytes(&mut bytes)
        .context("the system gives no randomness")?;
    let text = URL_SAFE_NO_PAD.encode(bytes);
    Ok(format!("{}{text}", api_key::PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_one_form_and_never_the_same() {
        let (one, other) = (new_key().expect("a key"), new_key().expect("a key"));
        assert_ne!(one, other);
        let text = one.strip_prefix("sk-chandler-").expect("the prefix");
        assert_eq!(text.len(), 43);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(text.chars().all(plain), "{text}");
    }
}
