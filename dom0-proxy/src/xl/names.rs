//! The names of our domains.

/// What the names of all our domains begin with.
const NAME_PREFIX: &str = "pgas-";

/// The name of a rank's domain.
pub fn domain_name(job: &str, rank: u32) -> String {
    format!("{NAME_PREFIX}{job}-{rank}")
}

/// Job and rank of a domain that has one of our names.
pub fn parse_domain_name(name: &str) -> Option<(&str, u32)> {
    let (job, rank) = name.strip_prefix(NAME_PREFIX)?.rsplit_once('-')?;
    let plain = rank.bytes().all(|byte| byte.is_ascii_digit()) && !job.is_empty();
    Some((job, rank.parse().ok().filter(|_| plain)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_not_ours() {
        assert_eq!(domain_name("ab12cd", 3), "pgas-ab12cd-3");
        assert_eq!(parse_domain_name("pgas-ab12cd-3"), Some(("ab12cd", 3)));
        for name in
            ["Domain-0", "pgas-", "pgas--1", "pgas-ab", "pgas-ab-", "pgas-ab-x", "pgas-ab-+1"]
        {
            assert_eq!(parse_domain_name(name), None, "{name}");
        }
    }
}
