//! Which vector instructions the machine has, and those that are used as safe functions.
//!
//! The one file with `unsafe` of this crate: vector instructions may be executed only where the processor has them. An
//! [`Avx2`], a [`Vnni`] or a [`Vnni512`] is made by asking it, so that who holds one may execute them.

#![allow(unsafe_code)]

use crate::input::Input;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
use std::mem::transmute;

/// An instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Instructions(pub(crate) Set);

/// The instruction sets that there is code for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Vnni512(Vnni512),
}

impl Instructions {
    /// Plain Rust, on any machine.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// The fastest of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::all().last().unwrap_or(Self::PORTABLE)
    }

    /// Every one of this machine, the plain one first and the fastest last.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = std::iter::once(Set::Portable);
        #[cfg(target_arch = "x86_64")]
        let plain = {
            let (avx2, vnni) = (Avx2::detect(), Vnni::detect());
            let wide = vnni.map(Vnni512).map(Set::Vnni512);
            plain
                .chain(avx2.map(Set::Avx2))
                .chain(vnni.map(Set::Vnni))
                .chain(wide)
        };
        plain.map(Self)
    }

    /// What they are called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Vnni(_) => "vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Vnni512(_) => "vnni512",
        }
    }

    /// Blocks of the input from so many values, by the same code compiled for each set.
    pub(crate) fn round<I: Input>(self, values: &[f32]) -> Vec<I> {
        match self.0 {
            Set::Portable => round(values),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(avx2) | Set::Vnni(Vnni(avx2)) | Set::Vnni512(Vnni512(Vnni(avx2))) => avx2
                .enter(
                    #[inline(always)]
                    || round(values),
                ),
        }
    }
}

#[inline(always)]
fn round<I: Input>(values: &[f32]) -> Vec<I> {
    let mut blocks = Vec::with_capacity(values.len() / I::COLUMNS);
    for values in values.chunks_exact(I::COLUMNS) {
        blocks.push(I::round(values));
    }
    blocks
}

/// The right to execute AVX2, FMA and F16C.
///
/// Its functions compile to one instruction each where they are inlined into [`Avx2::enter`]; so all between is
/// `#[inline(always)]`.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// Asks the processor, and the operating system whether it keeps the registers.
    fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Self(()))
    }

    /// Does `work`, compiled for these instructions.
    #[inline(always)]
    pub(crate) fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: `self` exists only where `detect` found the instructions.
        unsafe { compiled(work) }
    }

    /// 32 bytes of memory.
    #[inline(always)]
    pub(crate) fn load(self, bytes: &[u8; 32]) -> __m256i {
        // SAFETY: both are 32 bytes, and any bits are a value of either. The same holds of those below.
        unsafe { transmute::<[u8; 32], __m256i>(*bytes) }
    }

    /// 16 bytes of memory.
    #[inline(always)]
    pub(crate) fn load16(self, bytes: &[u8; 16]) -> __m128i {
        // SAFETY: as in `load`.
        unsafe { transmute::<[u8; 16], __m128i>(*bytes) }
    }

    /// Eight words of 16 bits of memory.
    #[inline(always)]
    pub(crate) fn load_words(self, words: &[u16; 8]) -> __m128i {
        // SAFETY: as in `load`.
        unsafe { transmute::<[u16; 8], __m128i>(*words) }
    }

    /// Eight numbers of memory.
    #[inline(always)]
    pub(crate) fn load_f32(self, numbers: &[f32; 8]) -> __m256 {
        // SAFETY: as in `load`.
        unsafe { transmute::<[f32; 8], __m256>(*numbers) }
    }

    /// Asks for the `bytes` that lie `ahead` bytes behind the beginning of `value`, wherever that may be.
    ///
    /// The processor foresees a sequence of reads by itself, but not beyond a page of 4 KiB.
    #[inline(always)]
    pub(crate) fn prefetch<T: ?Sized>(self, value: &T, ahead: usize) {
        let begin = std::ptr::from_ref(value).cast::<i8>();
        for line in (0..size_of_val(value)).step_by(64) {
            // SAFETY: it is a hint, which reads nothing and fails at no address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(begin.wrapping_add(ahead + line)) }
        }
    }

    /// Eight numbers as memory has them.
    #[inline(always)]
    pub(crate) fn numbers(self, value: __m256) -> [f32; 8] {
        // SAFETY: as in `load`.
        unsafe { transmute::<__m256, [f32; 8]>(value) }
    }
}

/// The right to execute beside those of [`Avx2`] the products of bytes of AVX-512 VNNI, on the 32 registers that come with
/// AVX-512. Their functions are inlined into [`Vnni::enter`] in the same way.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni(pub(crate) Avx2);

#[cfg(target_arch = "x86_64")]
impl Vnni {
    fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::detect().filter(|_| has).map(Self)
    }

    /// Does `work`, compiled for these instructions.
    #[inline(always)]
    pub(crate) fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
        fn compiled<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: `self` exists only where `detect` found the instructions.
        unsafe { compiled(work) }
    }
}

/// The right to execute those of [`Vnni`] on vectors of 512 bits, which come with them.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni512(pub(crate) Vnni);

/// Instructions that touch registers only: each as it is on 256 and on 512 bits.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty = $narrow:expr, $wide:expr;)*) => {
        /// Vectors that an instruction set computes with.
        pub(crate) trait Vectors: Copy {
            /// A vector of whole numbers.
            type Whole: Copy;
            /// A vector of numbers of 32 bits.
            type Real: Copy;

            $($(#[$doc])* fn $name(self, $($arg: $type),*) -> $out;)*
        }

        instructions! { impl Avx2, __m256i, __m256, $($name($($arg: $type),*) -> $out = $narrow;)* }
        instructions! { impl Vnni, __m256i, __m256, $($name($($arg: $type),*) -> $out = $narrow;)* }
        instructions! { impl Vnni512, __m512i, __m512, $($name($($arg: $type),*) -> $out = $wide;)* }
    };
    (impl $set:ident, $whole:ty, $real:ty, $($name:ident($($arg:ident: $type:ty),*) -> $out:ty = $call:expr;)*) => {
        impl Vectors for $set {
            type Whole = $whole;
            type Real = $real;

            $(
                #[inline(always)]
                fn $name(self, $($arg: $type),*) -> $out {
                    // SAFETY: `self` exists only where the processor has the instruction, which reads and writes
                    // nothing but its arguments and result.
                    unsafe { $call }
                }
            )*
        }
    };
    ($set:ident: $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty = $call:expr;)*) => {
        impl $set {$(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(self, $($arg: $type),*) -> $out {
                // SAFETY: as above.
                unsafe { $call }
            }
        )*}
    };
}

#[cfg(target_arch = "x86_64")]
instructions! {
    /// All bits zero.
    zero() -> Self::Whole = _mm256_setzero_si256(), _mm512_setzero_si512();
    /// A byte in all places.
    splat8(value: u8) -> Self::Whole = _mm256_set1_epi8(value as i8), _mm512_set1_epi8(value as i8);
    /// A word of 32 bits in all places.
    splat32(value: i32) -> Self::Whole = _mm256_set1_epi32(value), _mm512_set1_epi32(value);
    and(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_and_si256(a, b), _mm512_and_si512(a, b);
    or(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_or_si256(a, b), _mm512_or_si512(a, b);
    xor(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_xor_si256(a, b), _mm512_xor_si512(a, b);
    /// Words of 16 bits to the right by 4.
    right4(value: Self::Whole) -> Self::Whole = _mm256_srli_epi16::<4>(value), _mm512_srli_epi16::<4>(value);
    /// Words of 16 bits to the right by 2.
    right2(value: Self::Whole) -> Self::Whole = _mm256_srli_epi16::<2>(value), _mm512_srli_epi16::<2>(value);
    /// Words of 16 bits to the right by 1.
    right1(value: Self::Whole) -> Self::Whole = _mm256_srli_epi16::<1>(value), _mm512_srli_epi16::<1>(value);
    /// Words of 16 bits to the left by 4.
    left4(value: Self::Whole) -> Self::Whole = _mm256_slli_epi16::<4>(value), _mm512_slli_epi16::<4>(value);
    /// Words of 16 bits to the left by 2.
    left2(value: Self::Whole) -> Self::Whole = _mm256_slli_epi16::<2>(value), _mm512_slli_epi16::<2>(value);
    /// Words of 32 bits to the left by 16.
    left16_of_32(value: Self::Whole) -> Self::Whole = _mm256_slli_epi32::<16>(value), _mm512_slli_epi32::<16>(value);
    /// Words of 32 bits to the right by 16, with their sign.
    right16_of_32(value: Self::Whole) -> Self::Whole = _mm256_srai_epi32::<16>(value), _mm512_srai_epi32::<16>(value);
    /// Products of words of 32 bits, as far as these hold them.
    multiply32(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_mullo_epi32(a, b), _mm512_mullo_epi32(a, b);
    add32(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_add_epi32(a, b), _mm512_add_epi32(a, b);
    sub32(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_sub_epi32(a, b), _mm512_sub_epi32(a, b);
    /// Words of 32 bits to the left by 5.
    times32(value: Self::Whole) -> Self::Whole = _mm256_slli_epi32::<5>(value), _mm512_slli_epi32::<5>(value);
    /// Words of 16 bits: products, two neighbours added to 32 bits.
    multiply_words(a: Self::Whole, b: Self::Whole) -> Self::Whole = _mm256_madd_epi16(a, b), _mm512_madd_epi16(a, b);
    zero_f32() -> Self::Real = _mm256_setzero_ps(), _mm512_setzero_ps();
    splat_f32(value: f32) -> Self::Real = _mm256_set1_ps(value), _mm512_set1_ps(value);
    /// Whole numbers to the nearest ones of 32 bits.
    to_f32(value: Self::Whole) -> Self::Real = _mm256_cvtepi32_ps(value), _mm512_cvtepi32_ps(value);
    multiply(a: Self::Real, b: Self::Real) -> Self::Real = _mm256_mul_ps(a, b), _mm512_mul_ps(a, b);
    /// `a · b + c`, rounded once.
    multiply_add(a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real =
        _mm256_fmadd_ps(a, b, c), _mm512_fmadd_ps(a, b, c);
    /// `c - a · b`, rounded once.
    multiply_subtract(a: Self::Real, b: Self::Real, c: Self::Real) -> Self::Real =
        _mm256_fnmadd_ps(a, b, c), _mm512_fnmadd_ps(a, b, c);
}

#[cfg(target_arch = "x86_64")]
instructions! {
    Avx2:
    /// A word of 16 bits in all 16 places.
    splat16(value: i16) -> __m256i = _mm256_set1_epi16(value);
    /// The same 16 bytes in both halves.
    twice(value: __m128i) -> __m256i = _mm256_broadcastsi128_si256(value);
    /// Bytes to words of 16 bits without a sign.
    widen_u8(value: __m128i) -> __m256i = _mm256_cvtepu8_epi16(value);
    /// Bytes to words of 16 bits with their sign.
    widen_i8(value: __m128i) -> __m256i = _mm256_cvtepi8_epi16(value);
    /// Bytes chosen by `order` within each half.
    shuffle(value: __m256i, order: __m256i) -> __m256i = _mm256_shuffle_epi8(value, order);
    add16(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi16(a, b);
    /// Bytes of `a` without and of `b` with a sign: products, two neighbours added to 16 bits.
    multiply_bytes(a: __m256i, b: __m256i) -> __m256i = _mm256_maddubs_epi16(a, b);
    /// Magnitudes of bytes.
    abs8(value: __m256i) -> __m256i = _mm256_abs_epi8(value);
    /// Bytes of `value`, negated where `sign` is negative and zero where it is zero.
    sign8(value: __m256i, sign: __m256i) -> __m256i = _mm256_sign_epi8(value, sign);
    half_to_f32(value: __m128i) -> __m256 = _mm256_cvtph_ps(value);
    bfloat_to_f32(value: __m128i) -> __m256 = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(value)));
}

#[cfg(target_arch = "x86_64")]
instructions! {
    Vnni:
    /// Bytes of `a` without and of `b` with a sign: products, four neighbours added to a word of 32 bits of `sum`.
    add_products(sum: __m256i, a: __m256i, b: __m256i) -> __m256i = _mm256_dpbusd_epi32(sum, a, b);
    /// Words of 16 bits: products, two neighbours added to a word of 32 bits of `sum`.
    add_products16(sum: __m256i, a: __m256i, b: __m256i) -> __m256i = _mm256_dpwssd_epi32(sum, a, b);
}

#[cfg(target_arch = "x86_64")]
instructions! {
    Vnni512:
    /// As [`Vnni::add_products`].
    add_products(sum: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpbusd_epi32(sum, a, b);
    /// As [`Vnni::add_products16`].
    add_products16(sum: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpwssd_epi32(sum, a, b);
    /// Two vectors side by side.
    beside(low: __m256i, high: __m256i) -> __m512i =
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
    beside_f32(low: __m256, high: __m256) -> __m512 = _mm512_castsi512_ps(_mm512_inserti64x4::<1>(
        _mm512_castsi256_si512(_mm256_castps_si256(low)),
        _mm256_castps_si256(high),
    ));
    low_f32(value: __m512) -> __m256 = _mm512_castps512_ps256(value);
    high_f32(value: __m512) -> __m256 =
        _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(value)));
}
