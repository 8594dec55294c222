//! Sums of products of bytes: the one thing in which the vector instruction sets differ.
//!
//! AVX2 multiplies bytes to words of 16 bits, whose sums are widened before they could overflow. VNNI adds four products to
//! a word of 32 bits at once, and on 512 bits it takes two panels side by side. All are whole numbers, and so the same bits.

use crate::simd::{Avx2, Vectors, Vnni, Vnni512};
use std::arch::x86_64::{__m256, __m256i, __m512, __m512i};

/// An instruction set's way to products of codes with the input, for `P` panels at once.
///
/// A *sum* is what a sub-block's products come to, in a form of the set's own; a sum is taken of so few columns that it
/// does not overflow.
pub(crate) trait Dots<const P: usize>: Vectors {
    /// Whether there are registers for the sums of eight rows of the input.
    const HOLDS_EIGHT: bool;

    /// What codes with a sign are made into for [`Dots::add_signed`].
    type Signed: Copy;

    /// The instructions that all have.
    fn avx2(self) -> Avx2;

    /// What each panel has, side by side.
    fn join(self, panels: [__m256i; P]) -> Self::Whole;

    /// The same of numbers.
    fn join_f32(self, panels: [__m256; P]) -> Self::Real;

    /// What [`Dots::join_f32`] joined.
    fn split_f32(self, joined: Self::Real) -> [__m256; P];

    /// Adds the products of two vectors of codes without a sign, each with four columns of the input.
    fn add_two(self, sum: Self::Whole, codes: [Self::Whole; 2], x: [i32; 2]) -> Self::Whole;

    /// A sum as words of 32 bits.
    fn whole(self, sum: Self::Whole) -> Self::Whole;

    /// Of words of 16 bits, two for each row, the first ones and the second ones as [`Dots::add_scaled`] takes scales.
    fn scales(self, pairs: Self::Whole) -> [Self::Whole; 2];

    /// Adds a sum times each row's scale to `products` of 32 bits.
    fn add_scaled(self, products: Self::Whole, sum: Self::Whole, scale: Self::Whole)
    -> Self::Whole;

    /// The same for four vectors of codes of six bits, of which sums of 16 bits hold two.
    fn add_four_scaled(
        self,
        products: Self::Whole,
        codes: [Self::Whole; 4],
        x: [i32; 4],
        scale: Self::Whole,
    ) -> Self::Whole;

    /// Adds the products of words of 16 bits, two for each row, with two numbers of the input to `products` of 32 bits.
    fn add_pairs(self, products: Self::Whole, pairs: Self::Whole, x: i32) -> Self::Whole;

    /// Makes codes with a sign ready.
    fn signed(self, codes: Self::Whole) -> Self::Signed;

    /// What products of codes with a sign begin with, given the sum of all of the input that they are multiplied with.
    fn begin_signed(self, sum: i32) -> Self::Whole;

    /// Adds the products of codes with a sign to `products` of 32 bits. No byte of the input is -128.
    fn add_signed(self, products: Self::Whole, codes: Self::Signed, x: i32) -> Self::Whole;
}

impl Dots<1> for Avx2 {
    const HOLDS_EIGHT: bool = false;
    /// The codes and their magnitudes.
    type Signed = [__m256i; 2];

    #[inline(always)]
    fn avx2(self) -> Avx2 {
        self
    }

    #[inline(always)]
    fn join(self, [panel]: [__m256i; 1]) -> __m256i {
        panel
    }

    #[inline(always)]
    fn join_f32(self, [panel]: [__m256; 1]) -> __m256 {
        panel
    }

    #[inline(always)]
    fn split_f32(self, joined: __m256) -> [__m256; 1] {
        [joined]
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
    fn add_pairs(self, products: __m256i, pairs: __m256i, x: i32) -> __m256i {
        self.add32(products, self.multiply_words(pairs, self.splat32(x)))
    }

    #[inline(always)]
    fn signed(self, codes: __m256i) -> [__m256i; 2] {
        [codes, self.abs8(codes)]
    }

    #[inline(always)]
    fn begin_signed(self, _sum: i32) -> __m256i {
        self.zero()
    }

    #[inline(always)]
    fn add_signed(self, products: __m256i, [codes, magnitudes]: [__m256i; 2], x: i32) -> __m256i {
        // The code's sign goes to the input: 2 · 128 · 127 fits 16 bits.
        let x = self.sign8(self.splat32(x), codes);
        let pairs = self.multiply_bytes(magnitudes, x);
        self.add32(products, self.multiply_words(pairs, self.splat16(1)))
    }
}

/// What is alike with VNNI on 256 and on 512 bits.
macro_rules! products_of_vnni {
    () => {
        const HOLDS_EIGHT: bool = true;
        /// 128 more than they are, and so without a sign.
        type Signed = Self::Whole;

        #[inline(always)]
        fn add_two(self, sum: Self::Whole, codes: [Self::Whole; 2], x: [i32; 2]) -> Self::Whole {
            let sum = self.add_products(sum, codes[0], self.splat32(x[0]));
            self.add_products(sum, codes[1], self.splat32(x[1]))
        }

        #[inline(always)]
        fn whole(self, sum: Self::Whole) -> Self::Whole {
            sum
        }

        #[inline(always)]
        fn scales(self, pairs: Self::Whole) -> [Self::Whole; 2] {
            let first = self.right16_of_32(self.left16_of_32(pairs));
            [first, self.right16_of_32(pairs)]
        }

        #[inline(always)]
        fn add_scaled(
            self,
            products: Self::Whole,
            sum: Self::Whole,
            scale: Self::Whole,
        ) -> Self::Whole {
            self.add32(products, self.multiply32(sum, scale))
        }

        #[inline(always)]
        fn add_four_scaled(
            self,
            products: Self::Whole,
            codes: [Self::Whole; 4],
            x: [i32; 4],
            scale: Self::Whole,
        ) -> Self::Whole {
            let sum = self.add_two(self.zero(), [codes[0], codes[1]], [x[0], x[1]]);
            let sum = self.add_two(sum, [codes[2], codes[3]], [x[2], x[3]]);
            self.add_scaled(products, sum, scale)
        }

        #[inline(always)]
        fn add_pairs(self, products: Self::Whole, pairs: Self::Whole, x: i32) -> Self::Whole {
            self.add_products16(products, pairs, self.splat32(x))
        }

        #[inline(always)]
        fn signed(self, codes: Self::Whole) -> Self::Whole {
            self.xor(codes, self.splat8(128))
        }

        #[inline(always)]
        fn begin_signed(self, sum: i32) -> Self::Whole {
            self.splat32(-128 * sum)
        }

        #[inline(always)]
        fn add_signed(self, products: Self::Whole, codes: Self::Whole, x: i32) -> Self::Whole {
            self.add_products(products, codes, self.splat32(x))
        }
    };
}

impl Dots<1> for Vnni {
    products_of_vnni!();

    #[inline(always)]
    fn avx2(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn join(self, [panel]: [__m256i; 1]) -> __m256i {
        panel
    }

    #[inline(always)]
    fn join_f32(self, [panel]: [__m256; 1]) -> __m256 {
        panel
    }

    #[inline(always)]
    fn split_f32(self, joined: __m256) -> [__m256; 1] {
        [joined]
    }
}

impl Dots<2> for Vnni512 {
    products_of_vnni!();

    #[inline(always)]
    fn avx2(self) -> Avx2 {
        self.0.0
    }

    #[inline(always)]
    fn join(self, [low, high]: [__m256i; 2]) -> __m512i {
        self.beside(low, high)
    }

    #[inline(always)]
    fn join_f32(self, [low, high]: [__m256; 2]) -> __m512 {
        self.beside_f32(low, high)
    }

    #[inline(always)]
    fn split_f32(self, joined: __m512) -> [__m256; 2] {
        [self.low_f32(joined), self.high_f32(joined)]
    }
}
