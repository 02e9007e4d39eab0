//! What `pgas run --env` asks for.

use std::ffi::OsString;

use anyhow::{Context, bail};

/// The variables of `--env NAME=VALUE` and `--env NAME`; the value of the latter is looked up in
/// `own`.
pub fn variables(
    words: &[String],
    own: impl Fn(&str) -> Option<OsString>,
) -> anyhow::Result<Vec<(OsString, OsString)>> {
    let variable = |word: &String| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value = own(word).with_context(|| {
                    format!("--env {word}: it is not set; give it as {word}=VALUE")
                })?;
                let Ok(value) = value.into_string() else {
                    bail!("--env {word}: its value is not UTF-8");
                };
                (word.as_str(), value)
            }
        };
        if name.is_empty() {
            bail!("--env {word}: give NAME or NAME=VALUE");
        }
        Ok((name.into(), value.into()))
    };
    words.iter().map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_given_or_looked_up() {
        let own = |name: &str| (name == "HOME").then(|| "/h".into());
        let found = |word: &str| variables(&[word.to_owned()], own);
        let pair = |name: &str, value: &str| vec![(OsString::from(name), OsString::from(value))];
        assert_eq!(found("A=b=c d").unwrap(), pair("A", "b=c d"));
        assert_eq!(found("A=").unwrap(), pair("A", ""));
        assert_eq!(found("HOME").unwrap(), pair("HOME", "/h"));
        for wrong in ["", "=x", "NONE"] {
            assert!(found(wrong).is_err(), "{wrong}");
        }
    }
}
