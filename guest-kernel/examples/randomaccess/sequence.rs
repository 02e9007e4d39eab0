//! HPCC's pseudorandom sequence: successive powers of x among the polynomials over one bit, modulo
//! x^64 + x^2 + x + 1.

/// What x^64 is.
const POLYNOMIAL: u64 = 0b111;

/// The sequence x, x^2, x^3, ... from any place on.
#[derive(Clone, Debug)]
pub struct Sequence {
    last: u64,
}

impl Sequence {
    /// The sequence without its first `skipped` numbers.
    pub fn after(skipped: u64) -> Self {
        let mut power = 1;
        for bit in (0..u64::BITS).rev() {
            power = multiply(power, power);
            if skipped >> bit & 1 == 1 {
                power = times_x(power);
            }
        }
        Self { last: power }
    }
}

impl Iterator for Sequence {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.last = times_x(self.last);
        Some(self.last)
    }
}

fn times_x(value: u64) -> u64 {
    let carry = if value >> 63 == 1 { POLYNOMIAL } else { 0 };
    value << 1 ^ carry
}

fn multiply(a: u64, b: u64) -> u64 {
    let mut product = 0;
    for bit in (0..u64::BITS).rev() {
        product = times_x(product);
        if b >> bit & 1 == 1 {
            product ^= a;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_as_hpcc_does() {
        let first: std::vec::Vec<u64> = Sequence::after(0).take(3).collect();
        assert_eq!(first, [2, 4, 8]);
        assert_eq!(Sequence::after(63).next(), Some(7));
    }

    #[test]
    fn skipping_is_the_same_as_stepping() {
        let mut stepped = Sequence::after(0);
        for skipped in 0..3000 {
            assert_eq!(Sequence::after(skipped).next(), stepped.next(), "after {skipped}");
        }
    }

    #[test]
    fn repeats_after_the_known_period() {
        const PERIOD: u64 = 1_317_624_576_693_539_401;
        assert_eq!(Sequence::after(PERIOD).last, 1);
        assert_ne!(Sequence::after(PERIOD / 7).last, 1);
    }
}
