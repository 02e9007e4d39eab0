//! Which code is there for tests only.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// Whether code with these attributes is compiled for tests only.
pub fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args().is_ok_and(|condition| holds(&condition) == Some(false))
        }
        _ => false,
    })
}

/// Whether a condition holds in what users run; `None` if that depends on the build.
fn holds(condition: &Meta) -> Option<bool> {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test").then_some(false);
    };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let mut parts = parts.iter().map(holds);
    if list.path.is_ident("not") {
        parts.next()?.map(|part| !part)
    } else if list.path.is_ident("all") {
        decided(parts, false)
    } else if list.path.is_ident("any") {
        decided(parts, true)
    } else {
        None
    }
}

/// The value of parts that are joined such that one with the value `decisive` decides.
fn decided(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut all_known = true;
    for part in parts {
        match part {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!decisive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Option<bool> {
        holds(&syn::parse_str(text).unwrap())
    }

    #[test]
    fn conditions_are_evaluated_without_tests() {
        assert_eq!(condition("test"), Some(false));
        assert_eq!(condition("not(test)"), Some(true));
        assert_eq!(condition("all(feature = \"c\", test)"), Some(false));
        assert_eq!(condition("any(xenolith_guest, test)"), None);
        assert_eq!(condition("any(test, all(test, loom))"), Some(false));
        assert_eq!(condition("not(all(feature = \"c\", loom))"), None);
    }
}
