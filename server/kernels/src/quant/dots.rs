//! Sums of products of bytes: the one thing in which the vector instruction sets differ.
//!
//! AVX2 multiplies bytes to words of 16 bits, whose sums are widened before they could overflow. VNNI adds four products to
//! a word of 32 bits at once. Both are whole numbers, and so the same bits.

use crate::simd::{Avx2, Vnni};
use std::arch::x86_64::__m256i;

/// An instruction set's way to products of codes with the input.
///
/// A *sum* is what a sub-block's products come to, in a form of the set's own; a sum is taken of so few columns that it
/// does not overflow.
pub(crate) trait Dots: Copy {
    /// Whether there are registers for the sums of eight rows of the input.
    const HOLDS_EIGHT: bool;

    /// The instructions that both have.
    fn avx2(self) -> Avx2;

    /// Adds the products of two vectors of codes without a sign, each with four columns of the input.
    fn add_two(self, sum: __m256i, codes: [__m256i; 2], x: [i32; 2]) -> __m256i;

    /// A sum as words of 32 bits.
    fn whole(self, sum: __m256i) -> __m256i;

    /// Of words of 16 bits, two for each row, the first ones and the second ones as [`Dots::add_scaled`] takes scales.
    fn scales(self, pairs: __m256i) -> [__m256i; 2];

    /// Adds a sum times each row's scale to `products` of 32 bits.
    fn add_scaled(self, products: __m256i, sum: __m256i, scale: __m256i) -> __m256i;

    /// The same for four vectors of codes of six bits, of which sums of 16 bits hold two.
    fn add_four_scaled(
        self,
        products: __m256i,
        codes: [__m256i; 4],
        x: [i32; 4],
        scale: __m256i,
    ) -> __m256i;

    /// Adds the products of codes with a sign, which go with their magnitudes, to `products` of 32 bits. No byte of the
    /// input is -128.
    fn add_signed(self, products: __m256i, codes: (__m256i, __m256i), x: i32) -> __m256i;
}

impl Dots for Avx2 {
    const HOLDS_EIGHT: bool = false;

    #[inline(always)]
    fn avx2(self) -> Avx2 {
        self
    }

    #[inline(always)]
    fn add_two(self, sum: __m256i, codes: [__m256i; 2], x: [i32; 2]) -> __m256i {
        let first = self.multiply_bytes(codes[0], self.splat32(x[0]));
        let second = self.multiply_bytes(codes[1], self.splat32(x[1]));
        self.add16(sum, self.add16(first, second))
    }

    #[inline(always)]
    fn whole(self, sum: __m256i) -> __m256i {
        self.multiply_words(sum, self.splat16(1))
    }

    /// Each scale twice: a sum has two words of 16 bits a row.
    #[inline(always)]
    fn scales(self, pairs: __m256i) -> [__m256i; 2] {
        const FIRST: [u8; 16] = [0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13];
        const SECOND: [u8; 16] = [2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15];
        let first = self.shuffle(pairs, self.twice(self.load16(&FIRST)));
        let second = self.shuffle(pairs, self.twice(self.load16(&SECOND)));
        [first, second]
    }

    #[inline(always)]
    fn add_scaled(self, products: __m256i, sum: __m256i, scale: __m256i) -> __m256i {
        self.add32(products, self.multiply_words(sum, scale))
    }

    #[inline(always)]
    fn add_four_scaled(
        self,
        products: __m256i,
        codes: [__m256i; 4],
        x: [i32; 4],
        scale: __m256i,
    ) -> __m256i {
        let first = self.add_two(self.zero(), [codes[0], codes[1]], [x[0], x[1]]);
        let second = self.add_two(self.zero(), [codes[2], codes[3]], [x[2], x[3]]);
        let first = self.multiply_words(first, scale);
        let second = self.multiply_words(second, scale);
        self.add32(products, self.add32(first, second))
    }

    #[inline(always)]
    fn add_signed(
        self,
        products: __m256i,
        (codes, magnitudes): (__m256i, __m256i),
        x: i32,
    ) -> __m256i {
        // The code's sign goes to the input: 2 · 128 · 127 fits 16 bits.
        let x = self.sign8(self.splat32(x), codes);
        let pairs = self.multiply_bytes(magnitudes, x);
        self.add32(products, self.multiply_words(pairs, self.splat16(1)))
    }
}

impl Dots for Vnni {
    const HOLDS_EIGHT: bool = true;

    #[inline(always)]
    fn avx2(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn add_two(self, sum: __m256i, codes: [__m256i; 2], x: [i32; 2]) -> __m256i {
        let sum = self.add_products(sum, codes[0], self.0.splat32(x[0]));
        self.add_products(sum, codes[1], self.0.splat32(x[1]))
    }

    #[inline(always)]
    fn whole(self, sum: __m256i) -> __m256i {
        sum
    }

    #[inline(always)]
    fn scales(self, pairs: __m256i) -> [__m256i; 2] {
        let avx2 = self.0;
        let first = avx2.right16_of_32(avx2.left16_of_32(pairs));
        [first, avx2.right16_of_32(pairs)]
    }

    #[inline(always)]
    fn add_scaled(self, products: __m256i, sum: __m256i, scale: __m256i) -> __m256i {
        self.0.add32(products, self.0.multiply32(sum, scale))
    }

    #[inline(always)]
    fn add_four_scaled(
        self,
        products: __m256i,
        codes: [__m256i; 4],
        x: [i32; 4],
        scale: __m256i,
    ) -> __m256i {
        let sum = self.add_two(self.0.zero(), [codes[0], codes[1]], [x[0], x[1]]);
        let sum = self.add_two(sum, [codes[2], codes[3]], [x[2], x[3]]);
        self.add_scaled(products, sum, scale)
    }

    #[inline(always)]
    fn add_signed(
        self,
        products: __m256i,
        (codes, magnitudes): (__m256i, __m256i),
        x: i32,
    ) -> __m256i {
        let x = self.0.sign8(self.0.splat32(x), codes);
        self.add_products(products, magnitudes, x)
    }
}
