//! `qemu-ci test`: everything that can be tested, hosted and in Xen.
//!
//! Xen tests are the scripts `tests/xen/*.sh`; each runs in host 1's dom0 and passes if its status
//! is 0 and it leaves dom0 as it was. Tests that ask for nothing special (see `directives`) come
//! first, in order of name, in one boot; then those with other machines, and those with a boot of
//! their own. After a failure the next test gets a fresh boot.

mod directives;
mod local;
mod verdict;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use image_builder::output;

use super::exec::Invocation;
use super::{Ground, command};
use crate::channel::{Dom0Command, ProcessEnd};
use crate::cli::{HostArgs, TestArgs};
use crate::cluster::{Cluster, Ending, Patience, Setup};
use crate::log_dir::LogDir;
use crate::overlay::{Overlay, Packing};
use crate::processors;
use crate::programs::Programs;
use crate::workspace::Workspace;
use directives::Directives;
use verdict::{Failure, Verdicts};

/// The name that stands for all that needs no Xen.
const LOCAL: &str = "local";
/// Where the tests lie in dom0.
const REMOTE_DIR: &str = "/opt/xenolith/tests";
/// Checks dom0's state.
const STATE_SCRIPT: &str = include_str!("state.sh");
const STATE_TIME: Duration = Duration::from_secs(300);

/// Gives 0 if all passed.
pub fn run(args: &TestArgs) -> Result<i32> {
    let workspace = Workspace::find()?;
    let tests = select(find(&workspace.xen_tests())?, &args.names)?;
    let wants_local = args.names.is_empty() || args.names.iter().any(|name| name == LOCAL);
    let logs = LogDir::create(&workspace)?;
    let mut verdicts = Verdicts::default();
    if wants_local {
        local::run(&workspace, logs.path(), &mut verdicts);
    }
    if !tests.is_empty() {
        let started = Instant::now();
        match Suite::prepare(&args.host, &logs) {
            Ok(mut suite) => tests.iter().for_each(|test| suite.run(test, &mut verdicts)),
            Err(error) => verdicts.add("xen", started.elapsed(), Err(Failure::from_error(&error))),
        }
    }
    if !verdicts.failed().is_empty() {
        let (failed, logs) = (verdicts.failed().join(", "), logs.path().display());
        output::line(format_args!("failed: {failed}; logs are in {logs}"));
    }
    output::line(&verdicts);
    Ok(verdicts.status())
}

/// A Xen test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    name: String,
    script: PathBuf,
    directives: Directives,
}

/// All Xen tests, in the order in which they run.
fn find(dir: &Path) -> Result<Vec<Test>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut tests = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let script = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if script.extension().is_some_and(|extension| extension == "sh") {
            let text = fs::read_to_string(&script)
                .with_context(|| format!("cannot read {}", script.display()))?;
            let directives =
                Directives::parse(&text).with_context(|| format!("{}", script.display()))?;
            let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            tests.push(Test { name, script, directives });
        }
    }
    tests.sort_by_cached_key(|test| {
        let Directives { memory, cpus, hosts, own_boot, .. } = test.directives;
        (own_boot, hosts, memory, cpus, test.name.clone())
    });
    Ok(tests)
}

/// The tests with these names; all if there are none.
fn select(tests: Vec<Test>, names: &[String]) -> Result<Vec<Test>> {
    let plain = |name: &str| name.strip_suffix(".sh").unwrap_or(name).to_owned();
    for name in names.iter().filter(|name| *name != LOCAL) {
        if !tests.iter().any(|test| test.name == plain(name)) {
            let known: Vec<&str> =
                tests.iter().map(|test| test.name.as_str()).chain([LOCAL]).collect();
            bail!("there is no test {name}; there are {}", known.join(", "));
        }
    }
    let chosen =
        |test: &Test| names.is_empty() || names.iter().any(|name| plain(name) == test.name);
    Ok(tests.into_iter().filter(chosen).collect())
}

/// Runs Xen tests one after another, on as few boots as will do.
struct Suite<'a> {
    ground: Ground,
    base: Setup,
    /// Processors of each host, if the user wants that number.
    cpus: Option<u32>,
    overlay: Overlay,
    logs: &'a LogDir,
    booted: Option<(Setup, Cluster)>,
    boots: usize,
}

impl<'a> Suite<'a> {
    fn prepare(host: &HostArgs, logs: &'a LogDir) -> Result<Self> {
        let ground = Ground::prepare()?;
        let mut packing = Packing::start(&ground.workspace, &ground.image)?;
        Programs::build(&ground.workspace)?.pack(&mut packing)?;
        packing.put(&ground.workspace.xen_tests(), REMOTE_DIR)?;
        let overlay = packing.finish()?;
        let base = ground.setup(1, host)?;
        Ok(Self { ground, base, cpus: host.cpus, overlay, logs, booted: None, boots: 0 })
    }

    fn run(&mut self, test: &Test, verdicts: &mut Verdicts) {
        let booted = self.boot_for(test);
        let started = Instant::now();
        let result = booted.map_err(|error| Failure::from_error(&error)).and_then(|()| {
            self.run_in_dom0(test).unwrap_or_else(|error| Err(Failure::from_error(&error)))
        });
        let took = started.elapsed();
        if result.is_err() || test.directives.own_boot {
            self.booted = None;
        }
        verdicts.add(&format!("xen: {}", test.name), took, result);
    }

    /// Makes sure that hosts as this test wants them are up.
    fn boot_for(&mut self, test: &Test) -> Result<()> {
        let Directives { memory, cpus, hosts, own_boot, .. } = test.directives;
        let mut setup = self.base.clone();
        setup.hosts = hosts;
        setup.machine.memory = memory.unwrap_or(setup.machine.memory);
        let usual = |hosts| match hosts {
            1 => self.base.machine.cpus,
            _ => processors::of_each(hosts),
        };
        setup.machine.cpus = cpus.or(self.cpus).unwrap_or_else(|| usual(hosts));
        if self.booted.as_ref().is_some_and(|(have, _)| *have == setup) && !own_boot {
            return Ok(());
        }
        // Ended before the next begins: memory may be short.
        self.booted = None;
        self.boots += 1;
        let dir = self.logs.below(&format!("boot-{}", self.boots))?;
        let mut cluster = Cluster::boot(&setup, &self.ground.image, &self.overlay, &dir)?;
        for host in 1..=hosts {
            cluster.ask(host, state("baseline"), STATE_TIME)?;
        }
        self.booted = Some((setup, cluster));
        Ok(())
    }

    fn run_in_dom0(&mut self, test: &Test) -> Result<Result<(), Failure>> {
        let Some((setup, cluster)) = &mut self.booted else { bail!("no host is up") };
        let remote = format!("{REMOTE_DIR}/{}.sh", test.name);
        let mut invocation = Invocation::at(&test.script, remote, &[])?;
        invocation.command.cwd = Some(REMOTE_DIR.into());
        let log = self.logs.path().join(format!("{}.log", test.name));
        let mut file =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let patience = Patience::Silence(test.directives.silence);
        let outcome = cluster.run(1, invocation.command, patience, |_, data| {
            file.write_all(data).context("cannot write a log")
        })?;
        let why = match outcome {
            Ending::Exited(ProcessEnd::Code(0)) => {
                let left = left_behind(cluster, setup.hosts)?;
                if left.is_empty() {
                    return Ok(Ok(()));
                }
                format!("left behind: {}", left.join("; "))
            }
            Ending::Exited(exit) => format!("status {}", exit.status()),
            Ending::TimedOut => {
                let said = cluster.ask(1, state("hang"), STATE_TIME);
                let said = said.unwrap_or_else(|error| format!("{error:#}\n").into_bytes());
                file.write_all(&said).context("cannot write a log")?;
                format!("wrote nothing for {} s", test.directives.silence.as_secs())
            }
            Ending::NotStarted(why) => why,
            Ending::HostLost(why) => {
                let said = fs::read(&log).unwrap_or_default();
                let output = format!(
                    "{}\n{}",
                    String::from_utf8_lossy(&said).trim_end(),
                    cluster.serial_tail(1)
                );
                return Ok(Err(Failure { why, output }));
            }
        };
        save_logs(cluster, setup.hosts, self.logs.path(), &test.name);
        let output = fs::read(&log).unwrap_or_default();
        Ok(Err(Failure { why, output: String::from_utf8_lossy(&output).into_owned() }))
    }
}

fn state(verb: &str) -> Dom0Command {
    command(["bash", "-c", STATE_SCRIPT, "state", verb])
}

/// What a test has left in the hosts that was not there before.
fn left_behind(cluster: &mut Cluster, hosts: usize) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for host in 1..=hosts {
        let said = cluster.ask(host, state("check"), STATE_TIME)?;
        left.extend(
            String::from_utf8_lossy(&said).lines().map(|line| format!("{line} on host {host}")),
        );
    }
    Ok(left)
}

/// Keeps all logs of the dom0s of a failed test, guests' consoles among them.
fn save_logs(cluster: &mut Cluster, hosts: usize, dir: &Path, test: &str) {
    for host in 1..=hosts {
        let archive = cluster.ask(
            host,
            Dom0Command::new(["tar", "-C", "/", "-cf", "-", "var/log", "run/xenolith"]),
            STATE_TIME,
        );
        if let Ok(archive) = archive {
            // The failure itself is what is reported.
            let _ = fs::write(dir.join(format!("{test}-host-{host}.tar")), archive);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).unwrap();
    }

    fn names(tests: &[Test]) -> Vec<&str> {
        tests.iter().map(|test| test.name.as_str()).collect()
    }

    #[test]
    fn plain_tests_come_first_then_special_machines_then_own_boots() {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "a.sh", "# xenolith: own-boot\n");
        script(dir.path(), "b.sh", "# xenolith: mem=4G\n");
        script(dir.path(), "d.sh", "");
        script(dir.path(), "c.sh", "# xenolith: silence=9\n");
        script(dir.path(), "lib.bash", "no test");
        let tests = find(dir.path()).unwrap();
        assert_eq!(names(&tests), ["c", "d", "b", "a"]);
        let chosen = select(tests.clone(), &["b.sh".into(), "c".into(), LOCAL.into()]).unwrap();
        assert_eq!(names(&chosen), ["c", "b"]);
        assert!(select(tests, &["x".into()]).unwrap_err().to_string().contains("no test x"));
    }

    #[test]
    fn a_wrong_directive_is_named_with_its_script() {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "bad.sh", "# xenolith: speed=9\n");
        let error = format!("{:#}", find(dir.path()).unwrap_err());
        assert!(error.contains("bad.sh") && error.contains("speed=9"), "{error}");
    }
}
