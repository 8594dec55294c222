//! Numbers of 16 bits.

/// The value of an IEEE 754 half, exactly.
#[inline]
pub(crate) fn half_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff);
    match rest {
        // Infinity and what is no number: all bits of the exponent set in both.
        0x7c00.. => f32::from_bits(sign | 0x7f80_0000 | rest << 13),
        0x0400.. => f32::from_bits(sign | ((rest << 13) + (112 << 23))),
        // Without an exponent: so many parts of 2^-24.
        _ => f32::from_bits(sign | (rest as f32 / 16_777_216.0).to_bits()),
    }
}

/// The value of the upper half of a number of 32 bits, exactly.
#[inline]
pub(crate) fn bfloat_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 0x1f, bits & 0x3ff);
            let sign = if sign == 0 { 1.0 } else { -1.0 };
            let fraction = f64::from(fraction) / 1024.0;
            let found = half_to_f32(bits);
            if exponent == 0x1f {
                assert_eq!(found.is_nan(), fraction != 0.0, "{bits:#x}");
                assert_eq!(found.is_infinite(), fraction == 0.0, "{bits:#x}");
                assert_eq!(found.is_sign_negative(), sign < 0.0, "{bits:#x}");
                continue;
            }
            let expected = match exponent {
                0 => sign * fraction * 2f64.powi(-14),
                _ => sign * (1.0 + fraction) * 2f64.powi(i32::from(exponent) - 15),
            };
            assert_eq!(f64::from(found), expected, "{bits:#x}");
        }
    }

    #[test]
    fn a_bfloat_is_the_upper_half_of_its_value() {
        for value in [0.0, 1.0, -2.5, 1e30, f32::INFINITY] {
            let bits = (f32::to_bits(value) >> 16) as u16;
            assert!(
                (bfloat_to_f32(bits) - value).abs() <= value.abs() / 128.0 || value.is_infinite()
            );
        }
        assert_eq!(bfloat_to_f32(0x3fc0), 1.5);
        assert_eq!(bfloat_to_f32(0xff80), f32::NEG_INFINITY);
    }
}
