//! Rendezvous hashing: where a key belongs, agreed on by all who ask, without a table of keys.
//!
//! Each candidate gets a score from the key and itself, and the highest wins (Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates", 1998). A candidate that comes
//! takes its own share of the keys and no other key moves; one that goes gives its keys to all
//! others alike.

use std::net::SocketAddr;

/// Odd numbers without a pattern (the digits of pi), so that zeros in the input still mix.
const SALT: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345];

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A key for [`Ask`](super::Ask) from text, such as a session's name or a prompt's beginning.
/// The same for the same bytes in every process and version, so that several gateways agree;
/// not for secrets, as collisions can be made.
#[must_use]
pub fn key_of(bytes: &[u8]) -> u64 {
    let mut hash = fold(bytes.len() as u64 ^ SALT[0], SALT[1]);
    let (words, rest) = bytes.as_chunks();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), SALT[0]);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = fold(hash ^ u64::from_le_bytes(word), SALT[0]);
    }
    finish(hash)
}

/// How well the replica at `addr` suits `key`: the highest of all is the key's own. Addresses
/// rather than names, as they are short and every gateway knows the same ones.
#[inline]
pub(super) fn score(key: u64, addr: SocketAddr) -> u64 {
    let port = u64::from(addr.port());
    let place = match addr {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()) << 16 | port,
        SocketAddr::V6(v6) => {
            let ip = v6.ip().to_bits();
            fold(ip as u64 ^ SALT[0], (ip >> 64) as u64 ^ SALT[1]) ^ port
        }
    };
    finish(fold(key ^ SALT[0], place.wrapping_mul(GOLDEN) ^ SALT[1]))
}

/// As [`score`], for candidates of unequal weight: each is the highest for its share of all
/// keys, and when weights change only the share that changed hands moves: `−weight / ln(u)` with
/// `u` uniform in (0, 1), the logarithmic method of Schindelhauer and Schomaker, "Weighted
/// Distributed Hash Tables", 2005.
pub(super) fn weighted_score(key: u64, name: &str, weight: u32) -> f64 {
    // Half a step off either end keeps the logarithm finite and below zero.
    let uniform = ((mix(key ^ key_of(name.as_bytes())) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
    f64::from(weight) / -uniform.ln()
}

/// SplitMix64: turns counted numbers into ones without a pattern.
#[must_use]
#[inline]
pub fn mix(number: u64) -> u64 {
    finish(number.wrapping_add(GOLDEN))
}

#[inline]
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Both halves of the product, so that every bit of either number has a say.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_differ_where_the_text_does() {
        let texts = ["", "\0", "\0\0", "a", "a\0", "aaaaaaaa", "aaaaaaaaa", "b"];
        let keys: BTreeSet<u64> = texts.iter().map(|text| key_of(text.as_bytes())).collect();
        assert_eq!(keys.len(), texts.len());
    }

    /// Gateways of two versions must send a session to the same replica.
    #[test]
    fn keys_and_scores_never_change() {
        assert_eq!(key_of(b"session-1"), 0xed1e_4071_8ee0_18e2);
        assert_eq!(
            score(1, ([10, 0, 0, 1], 8000).into()),
            0xef71_b1bf_3d3a_0ba1
        );
        assert_eq!(
            score(1, ([1, 2, 3, 4, 5, 6, 7, 8], 8000).into()),
            0x9987_050c_3f02_13ac
        );
    }

    #[test]
    fn neighbouring_addresses_score_without_a_pattern() {
        for key in 0..64 {
            let v4 = (0..=255).map(|last| score(key, ([10, 0, 0, last], 8000).into()));
            let v6 = (0..256).map(|last| score(key, ([0xfd00, 0, 0, 0, 0, 0, 0, last], 80).into()));
            for (name, scores) in [("v4", v4.collect::<Vec<_>>()), ("v6", v6.collect())] {
                let high = scores.iter().filter(|score| **score > u64::MAX / 2).count();
                // Five standard deviations of 256 fair coins.
                assert!(
                    high.abs_diff(128) <= 40,
                    "{name}: {high} of 256 for key {key}"
                );
            }
        }
    }
}
