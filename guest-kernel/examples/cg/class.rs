//! The problem sizes that the benchmark defines, with the answer to each.

/// One size of the problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: char,
    /// Rows of the matrix.
    pub size: usize,
    /// Random entries in each of the vectors that the matrix is made of.
    pub nonzeros: usize,
    /// Steps of the power method.
    pub iterations: usize,
    /// How far the spectrum is shifted.
    pub shift: f64,
    /// The eigenvalue estimate that must come out.
    pub zeta: f64,
}

/// The condition number that the matrix is generated for is the inverse of this.
pub const RCOND: f64 = 0.1;

/// How far the result may be from the reference.
pub const TOLERANCE: f64 = 1e-10;

/// The most random entries any class has, with room for the one on the diagonal.
pub const MAX_NONZEROS: usize = 16;

const CLASSES: [Class; 4] = [
    Class {
        name: 'S',
        size: 1400,
        nonzeros: 7,
        iterations: 15,
        shift: 10.0,
        zeta: 8.5971775078648,
    },
    Class {
        name: 'W',
        size: 7000,
        nonzeros: 8,
        iterations: 15,
        shift: 12.0,
        zeta: 10.362595087124,
    },
    Class {
        name: 'A',
        size: 14000,
        nonzeros: 11,
        iterations: 15,
        shift: 20.0,
        zeta: 17.130235054029,
    },
    Class {
        name: 'B',
        size: 75000,
        nonzeros: 13,
        iterations: 75,
        shift: 60.0,
        zeta: 22.712745482631,
    },
];

impl Class {
    /// The class of that name, in either case.
    pub fn named(name: &str) -> Option<Class> {
        CLASSES
            .into_iter()
            .find(|class| name.eq_ignore_ascii_case(class.name.encode_utf8(&mut [0; 4])))
    }

    /// Whether `zeta` is the right answer.
    pub fn accepts(&self, zeta: f64) -> bool {
        // Not a number is further away than any tolerance.
        (zeta - self.zeta).abs() <= TOLERANCE
    }

    /// Floating-point operations of the timed part, as the benchmark counts them.
    pub fn operations(&self) -> f64 {
        let entries = (self.nonzeros * (self.nonzeros + 1)) as f64;
        2.0 * self.iterations as f64
            * self.size as f64
            * (3.0 + entries + 25.0 * (5.0 + entries) + 3.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_name() {
        assert_eq!(Class::named("s").map(|class| class.size), Some(1400));
        assert_eq!(Class::named("A").map(|class| class.size), Some(14000));
        assert_eq!(Class::named("Z"), None);
        assert_eq!(Class::named("SS"), None);
        assert_eq!(Class::named(""), None);
    }

    #[test]
    fn only_the_right_answer_is_accepted() {
        let class = Class::named("S").expect("class S exists");
        assert!(class.accepts(8.5971775078648));
        assert!(class.accepts(8.5971775078648 + 0.9e-10));
        assert!(!class.accepts(8.5971775078648 + 1.1e-10));
        assert!(!class.accepts(f64::NAN));
    }
}
