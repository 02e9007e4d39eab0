//! Which host is owed for the output that was passed on.

use std::collections::VecDeque;

/// The weights of the pieces of output that were passed on and not yet taken, in their order.
#[derive(Debug, Default)]
pub struct Dues(VecDeque<(usize, u64)>);

impl Dues {
    /// A piece of this host's, of this weight, was passed on.
    pub fn owe(&mut self, host: usize, weight: u64) {
        match self.0.back_mut() {
            Some((last, sum)) if *last == host => *sum = sum.saturating_add(weight),
            _ => self.0.push_back((host, weight)),
        }
    }

    /// This weight was taken: what of it each host is told. More than is owed goes to nobody.
    pub fn pay(&mut self, mut weight: u64) -> Vec<(usize, u64)> {
        let mut paid = Vec::new();
        while weight > 0
            && let Some((host, owed)) = self.0.front_mut()
        {
            let part = weight.min(*owed);
            paid.push((*host, part));
            weight -= part;
            *owed -= part;
            if *owed == 0 {
                self.0.pop_front();
            }
        }
        paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_goes_to_hosts_in_the_order_of_their_pieces() {
        let mut dues = Dues::default();
        for (host, weight) in [(0, 10), (0, 5), (1, 7), (0, 1)] {
            dues.owe(host, weight);
        }
        assert_eq!(dues.pay(0), []);
        assert_eq!(dues.pay(12), [(0, 12)]);
        assert_eq!(dues.pay(5), [(0, 3), (1, 2)]);
        assert_eq!(dues.pay(100), [(1, 5), (0, 1)]);
        assert_eq!(dues.pay(1), []);
    }
}
