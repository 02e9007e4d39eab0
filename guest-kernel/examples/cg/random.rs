//! The benchmark's pseudorandom numbers: a linear congruence modulo 2^46.

const MODULUS_BITS: u32 = 46;
const MASK: u64 = (1 << MODULUS_BITS) - 1;
const MULTIPLIER: u64 = 1_220_703_125; // 5^13
const SEED: u64 = 314_159_265;

/// The sequence that the benchmark prescribes.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence from its prescribed seed.
    pub fn new() -> Self {
        Self { state: SEED }
    }

    /// The next number, between 0 and 1.
    pub fn next(&mut self) -> f64 {
        // 46-bit factors do not fit 64 bits when multiplied, but modulo 2^46 the high half does not
        // matter.
        self.state = self.state.wrapping_mul(MULTIPLIER) & MASK;
        self.state as f64 / (1_u64 << MODULUS_BITS) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_congruence() {
        let mut random = Random::new();
        let mut exact = u128::from(SEED);
        for _ in 0..1000 {
            exact = exact * u128::from(MULTIPLIER) % (1 << MODULUS_BITS);
            assert_eq!(random.next(), exact as f64 / (1_u64 << MODULUS_BITS) as f64);
        }
    }
}
