//! Sums over eight values at once, where the compiler would not find them: the same to the last bit on processors with AVX2 and without.

/// Values in a vector.
pub(super) const LANES: usize = 8;

/// Arithmetic on eight values. Products and sums are rounded each for itself.
pub(super) trait EightLanes: Copy {
    type Vector: Copy;

    fn splat(self, value: f32) -> Self::Vector;
    fn load(self, values: &[f32; LANES]) -> Self::Vector;
    fn add(self, one: Self::Vector, other: Self::Vector) -> Self::Vector;
    fn multiply(self, one: Self::Vector, other: Self::Vector) -> Self::Vector;
    /// In pairs that lie four, two and one apart.
    fn sum(self, vector: Self::Vector) -> f32;
}

/// What runs anywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnyProcessor;

impl EightLanes for AnyProcessor {
    type Vector = [f32; LANES];

    fn splat(self, value: f32) -> [f32; LANES] {
        [value; LANES]
    }

    fn load(self, values: &[f32; LANES]) -> [f32; LANES] {
        *values
    }

    fn add(self, one: [f32; LANES], other: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| one[lane] + other[lane])
    }

    fn multiply(self, one: [f32; LANES], other: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|lane| one[lane] * other[lane])
    }

    fn sum(self, [a, b, c, d, e, f, g, h]: [f32; LANES]) -> f32 {
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

#[cfg(target_arch = "x86_64")]
impl EightLanes for pulp::x86::V3 {
    type Vector = pulp::f32x8;

    #[inline(always)]
    fn splat(self, value: f32) -> pulp::f32x8 {
        self.splat_f32x8(value)
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> pulp::f32x8 {
        pulp::cast(*values)
    }

    #[inline(always)]
    fn add(self, one: pulp::f32x8, other: pulp::f32x8) -> pulp::f32x8 {
        self.add_f32x8(one, other)
    }

    #[inline(always)]
    fn multiply(self, one: pulp::f32x8, other: pulp::f32x8) -> pulp::f32x8 {
        self.mul_f32x8(one, other)
    }

    #[inline(always)]
    fn sum(self, vector: pulp::f32x8) -> f32 {
        let [low, high]: [pulp::f32x4; 2] = pulp::cast(vector);
        let pulp::f32x4(a, b, c, d) = self.add_f32x4(low, high);
        (a + c) + (b + d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed<L: EightLanes>(lanes: L, values: &[f32; LANES]) -> f32 {
        let vector = lanes.load(values);
        let squares = lanes.multiply(vector, lanes.add(vector, lanes.splat(0.1)));
        lanes.sum(squares)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_forms_agree_to_the_last_bit() {
        let Some(wide) = pulp::x86::V3::try_new() else {
            println!("skipped: no AVX2");
            return;
        };
        for seed in 0..100 {
            let values = std::array::from_fn(|lane| ((seed * 8 + lane) as f32 * 1.7).sin() * 1e3);
            assert_eq!(mixed(wide, &values), mixed(AnyProcessor, &values));
        }
    }
}
