//! The nodes of a Slurm allocation, as Slurm describes them in the environment.

use anyhow::{Context, bail, ensure};
use dom0_proxy::control::PORT;

use super::list::check_name;
use super::{Host, HostList, MOST_HOSTS};

/// The hosts of an allocation: `nodes` is `SLURM_JOB_NODELIST`, such as `n[1-3,7],m2`, and `tasks`
/// is `SLURM_TASKS_PER_NODE`, such as `2(x3),1`. No host gets more ranks than it has tasks.
pub fn of_allocation(nodes: &str, tasks: &str) -> anyhow::Result<HostList> {
    let names = names(nodes).with_context(|| format!("SLURM_JOB_NODELIST {nodes}"))?;
    let counts = counts(tasks).with_context(|| format!("SLURM_TASKS_PER_NODE {tasks}"))?;
    ensure!(
        names.len() == counts.len(),
        "SLURM_JOB_NODELIST {nodes} has {} nodes, and SLURM_TASKS_PER_NODE {tasks} has {}",
        names.len(),
        counts.len()
    );
    let mut list = HostList { is_limited: true, ..HostList::default() };
    for (name, share) in names.into_iter().zip(counts) {
        list.add(Host { name, port: PORT, share })?;
    }
    Ok(list)
}

fn names(text: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for word in words(text)? {
        let mut found = vec![String::new()];
        let mut rest = word;
        while let Some((before, behind)) = rest.split_once('[') {
            let (ranges, after) =
                behind.split_once(']').with_context(|| format!("`{word}`: ] is missing"))?;
            let numbers = numbers(ranges).with_context(|| format!("`{word}`"))?;
            check_count(names.len().saturating_add(found.len().saturating_mul(numbers.len())))?;
            let longer = |start: &String| {
                let start = format!("{start}{before}");
                numbers.iter().map(move |number| format!("{start}{number}")).collect::<Vec<_>>()
            };
            found = found.iter().flat_map(longer).collect();
            rest = after;
        }
        for name in &mut found {
            name.push_str(rest);
            check_name(name, word)?;
        }
        names.append(&mut found);
        check_count(names.len())?;
    }
    Ok(names)
}

/// What stands between the commas that are not in brackets.
fn words(text: &str) -> anyhow::Result<Vec<&str>> {
    let (mut words, mut start, mut is_inside) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' if is_inside => bail!("`{text}`: [ within [ ]"),
            '[' => is_inside = true,
            ']' => is_inside = false,
            ',' if !is_inside => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    Ok(words)
}

/// The numbers of ranges such as `1-3,7`, as they are written. Leading zeros stay.
fn numbers(ranges: &str) -> anyhow::Result<Vec<String>> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            let number = text.parse::<u64>().ok().filter(|_| is_number);
            number.with_context(|| format!("`{range}` is no range of numbers"))
        };
        let (low, high) = (number(first)?, number(last)?);
        ensure!(low <= high, "`{range}` is no range of numbers");
        let more = usize::try_from(high - low).unwrap_or(usize::MAX).saturating_add(1);
        check_count(numbers.len().saturating_add(more))?;
        let width = first.len();
        numbers.extend((low..=high).map(|number| format!("{number:0width$}")));
    }
    Ok(numbers)
}

/// How many tasks each node has.
fn counts(text: &str) -> anyhow::Result<Vec<u32>> {
    let mut counts = Vec::new();
    for word in text.split(',') {
        let times =
            |times: &str| times.strip_prefix("(x")?.strip_suffix(')')?.parse::<usize>().ok();
        let (count, times) = match word.find('(') {
            Some(at) => (&word[..at], times(&word[at..])),
            None => (word, Some(1)),
        };
        let count = count.parse::<u32>().ok().filter(|count| *count > 0);
        let (Some(count), Some(times)) = (count, times.filter(|times| *times > 0)) else {
            bail!("`{word}` is no number of tasks, as 2 or 2(x3)");
        };
        check_count(counts.len().saturating_add(times))?;
        counts.extend(std::iter::repeat_n(count, times));
    }
    Ok(counts)
}

fn check_count(count: usize) -> anyhow::Result<()> {
    ensure!(count <= MOST_HOSTS, "that is more than {MOST_HOSTS} hosts");
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_allocation_is_a_list_with_limits() {
        let list = of_allocation("n[1-3,7],m2", "2(x3),1,4").unwrap();
        let found: Vec<_> =
            list.hosts.iter().map(|host| (host.name.as_str(), host.share)).collect();
        assert_eq!(found, [("n1", 2), ("n2", 2), ("n3", 2), ("n7", 1), ("m2", 4)]);
        assert!(list.is_limited);
    }

    #[test]
    fn names_have_zeros_ends_and_several_ranges() {
        assert_eq!(names("n[08-10]").unwrap(), ["n08", "n09", "n10"]);
        assert_eq!(names("r[1-2]n[3,5]-ib").unwrap(), ["r1n3-ib", "r1n5-ib", "r2n3-ib", "r2n5-ib"]);
        assert_eq!(names("a,b.example").unwrap(), ["a", "b.example"]);
    }

    #[test]
    fn bad_words_are_named() {
        for (nodes, tasks, word) in [
            ("", "1", "name is missing"),
            ("n[1-2", "1", "`n[1-2`"),
            ("n[2-1]", "1", "`2-1`"),
            ("n[a]", "1", "`a`"),
            ("n[+1]", "1", "`+1`"),
            ("n[]", "1", "`` is no range"),
            ("n[[1]]", "1", "[ within"),
            ("n]", "1", "`n]`"),
            ("n[0-18446744073709551615]", "1", "more than 4096"),
            ("n[1-4000],m[1-4000]", "1", "more than 4096"),
            ("a[1-4000]b[1-4000]", "1", "more than 4096"),
            ("n1", "0", "`0`"),
            ("n1", "2(x", "`2(x`"),
            ("n1", "2(x0)", "`2(x0)`"),
            ("n1", "x", "`x`"),
            ("n1", "1(x99999)", "more than 4096"),
            ("n[1-2]", "1", "has 2 nodes"),
        ] {
            let error = format!("{:#}", of_allocation(nodes, tasks).unwrap_err());
            assert!(error.contains(word), "{nodes} {tasks}: {error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(
            nodes in "[n\\[\\],0-9-]{0,30}|\\PC{0,30}",
            tasks in "[0-9(x),]{0,20}|\\PC{0,20}",
        ) {
            if let Ok(list) = of_allocation(&nodes, &tasks) {
                prop_assert!(!list.hosts.is_empty() && list.hosts.len() <= MOST_HOSTS);
                prop_assert!(list.hosts.iter().all(|host| host.share > 0));
            }
        }
    }
}
