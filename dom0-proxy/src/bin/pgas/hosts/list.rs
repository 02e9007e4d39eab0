//! Lists of hosts as users write them.

use std::net::Ipv6Addr;

use anyhow::{Context, bail, ensure};
use dom0_proxy::control::PORT;

use super::{Host, HostList};

/// The hosts of `--hosts`: `HOST[:PORT]`, with commas between them. A host that is named again gets
/// more ranks than one that is named once.
pub fn of_argument(text: &str) -> anyhow::Result<HostList> {
    let mut list = HostList::default();
    for word in text.split(',') {
        let (name, port) = host(word.trim()).with_context(|| format!("--hosts {text}"))?;
        list.add(Host { name, port, share: 1 })?;
    }
    Ok(list)
}

/// The hosts of a file, one a line: `HOST[:PORT] [slots=N]`. What follows a `#` is not read.
pub fn of_file(text: &str) -> anyhow::Result<HostList> {
    let mut list = HostList::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        let mut read = || {
            let (name, port) = host(first)?;
            let slots = words.next().map(slots).transpose()?;
            if let Some(word) = words.next() {
                bail!("`{word}` is too much: a line is HOST[:PORT] [slots=N]");
            }
            ensure!(
                list.hosts.is_empty() || slots.is_some() == list.is_limited,
                "{first}: give slots=N for every host, or for none"
            );
            list.is_limited = slots.is_some();
            list.add(Host { name, port, share: slots.unwrap_or(1) })
        };
        read().with_context(|| format!("line {number}"))?;
    }
    ensure!(!list.hosts.is_empty(), "no host is in it");
    Ok(list)
}

fn slots(word: &str) -> anyhow::Result<u32> {
    let count = word.strip_prefix("slots=").and_then(|count| count.parse().ok());
    let count = count.filter(|count| *count > 0);
    count.with_context(|| format!("`{word}`: after the host comes slots=N, with N from 1 on"))
}

/// Name and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host(word: &str) -> anyhow::Result<(String, u16)> {
    let (name, port) = match word.strip_prefix('[') {
        Some(rest) => {
            let inside = rest.split_once(']');
            let (address, behind) = inside.with_context(|| format!("`{word}`: ] is missing"))?;
            // A link-local address has the name of an interface behind it.
            let number = address.split_once('%').map_or(address, |(number, _)| number);
            let is_address = number.parse::<Ipv6Addr>().is_ok() && !address.contains(is_odd);
            ensure!(is_address, "`{word}`: in [ ] stands an IPv6 address");
            let port = behind.strip_prefix(':');
            ensure!(port.is_some() || behind.is_empty(), "`{word}`: behind ] stands :PORT");
            (address, port)
        }
        None => match word.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                bail!("`{word}`: write an IPv6 address in brackets, as [::1] or [::1]:{PORT}")
            }
            Some((name, port)) => (check_name(name, word)?, Some(port)),
            None => (check_name(word, word)?, None),
        },
    };
    let port = port.map_or(Ok(PORT), |port| {
        let number = port.parse().ok().filter(|number| *number > 0);
        number.with_context(|| format!("`{word}`: the port is a number from 1 to 65535"))
    })?;
    Ok((name.to_owned(), port))
}

/// A host's name, if it may be one.
pub(super) fn check_name<'a>(name: &'a str, word: &str) -> anyhow::Result<&'a str> {
    ensure!(!name.is_empty(), "`{word}`: a host's name is missing");
    let may_be = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    ensure!(name.chars().all(may_be) && !name.starts_with('-'), "`{word}` is no host's name");
    Ok(name)
}

fn is_odd(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(list: anyhow::Result<HostList>) -> Vec<(String, u32)> {
        list.unwrap().hosts.iter().map(|host| (host.address(), host.share)).collect()
    }

    fn pairs(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
        expected.iter().map(|(address, share)| (address.to_string(), *share)).collect()
    }

    #[test]
    fn hosts_are_read_from_the_argument() {
        assert_eq!(
            hosts(of_argument("a,b.example:80, a ,[::1],[fe80::1%eth0]:9,10.0.0.1")),
            pairs(&[
                ("a:7574", 2),
                ("b.example:80", 1),
                ("[::1]:7574", 1),
                ("[fe80::1%eth0]:9", 1),
                ("10.0.0.1:7574", 1)
            ])
        );
        // Another port is another proxy.
        assert_eq!(hosts(of_argument("a,a:1")), pairs(&[("a:7574", 1), ("a:1", 1)]));
        assert!(!of_argument("a,a").unwrap().is_limited);
    }

    #[test]
    fn hosts_are_read_from_a_file() {
        let text = "# nodes\n\n a slots=4 # fast\nb:80\tslots=2\na slots=1\n";
        let list = of_file(text).unwrap();
        assert!(list.is_limited);
        assert_eq!(hosts(Ok(list)), pairs(&[("a:7574", 5), ("b:80", 2)]));
        let list = of_file("a\nb").unwrap();
        assert!(!list.is_limited);
        assert_eq!(hosts(Ok(list)), pairs(&[("a:7574", 1), ("b:7574", 1)]));
    }

    #[test]
    fn bad_words_are_named() {
        for (text, word) in [
            ("", "name is missing"),
            ("a,,b", "name is missing"),
            ("a,b:x", "`b:x`"),
            ("a:0", "`a:0`"),
            ("a:65536", "`a:65536`"),
            (":7", "`:7`"),
            ("::1", "`::1`: write"),
            ("[::1", "`[::1`"),
            ("[a]", "`[a]`"),
            ("[::1]7", "`[::1]7`"),
            ("a b", "`a b`"),
            ("-oProxy", "`-oProxy`"),
            ("a*2", "`a*2`"),
        ] {
            let error = format!("{:#}", of_argument(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
        for (text, word) in [
            ("", "no host"),
            ("# a", "no host"),
            ("a\nb slots=x", "line 2: `slots=x`"),
            ("a slots=0", "`slots=0`"),
            ("a slots=1 max=2", "`max=2`"),
            ("a 4", "`4`"),
            ("a slots=1\nb", "line 2: b: give slots=N"),
            ("a\nb slots=1", "line 2: b: give slots=N"),
            ("a/b", "`a/b`"),
        ] {
            let error = format!("{:#}", of_file(text).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(text in "[a-c\\[\\]:,%0-9=#slot \n.*-]{0,40}|\\PC{0,40}") {
            for list in [of_argument(&text), of_file(&text)].into_iter().flatten() {
                prop_assert!(!list.hosts.is_empty());
                for host in list.hosts {
                    let again = of_argument(&host.address()).unwrap().hosts;
                    prop_assert_eq!(again, [Host { share: 1, ..host }]);
                }
            }
        }
    }
}
