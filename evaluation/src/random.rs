//! Random numbers from a seed: the same seed draws the same items on every machine.

/// The generator `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform below `count`, which is above 0. The high half of a product takes the place of a
    /// remainder (Lemire, "Fast Random Integer Generation in an Interval", 2019); its bias is below
    /// `count` in 2^64.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let product = u128::from(self.next()) * count as u128;
        usize::try_from(product >> 64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_authors_program() {
        let mut random = Random::new(1_234_567);
        let first: Vec<_> = (0..3).map(|_| random.next()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, published);
    }

    #[test]
    fn each_item_is_drawn_about_as_often() {
        let mut random = Random::new(5);
        let mut drawn = [0_u32; 7];
        for _ in 0..70_000 {
            drawn[random.below(7)] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(
            drawn.iter().all(|count| count.abs_diff(10_000) < 465),
            "{drawn:?}"
        );
    }
}
