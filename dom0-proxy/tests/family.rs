//! Orphans, adopted by this process, which is no daemon. It has one test, since that ends all other
//! children.

use std::process::{Command, Stdio};
use std::time::Duration;

use dom0_proxy::job::processes::{Family, adopt_orphans};

/// Leaves a process, says its number, and ends.
const LEAVE: &str = "env -i setsid /bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";

fn runs(pid: &str) -> bool {
    std::fs::exists(format!("/proc/{pid}")).unwrap()
}

#[test]
fn orphans_end_with_the_last_job_that_they_can_be_of() {
    adopt_orphans();
    let leave = || {
        // Clock ticks tell jobs and processes apart.
        std::thread::sleep(Duration::from_millis(30));
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", LEAVE]).stderr(Stdio::null()).output().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        String::from_utf8(shell.stdout).unwrap().trim().to_owned()
    };
    let first = Family::begin();
    let of_first = leave();
    let second = Family::begin();
    let of_either = leave();
    assert!(runs(&of_first) && runs(&of_either));
    second.end();
    assert!(runs(&of_first) && runs(&of_either), "they can be of the job that runs");
    let third = Family::begin();
    first.end();
    assert!(!runs(&of_first) && !runs(&of_either), "they began before the third job");
    let of_third = leave();
    third.end();
    assert!(!runs(&of_third));
}
