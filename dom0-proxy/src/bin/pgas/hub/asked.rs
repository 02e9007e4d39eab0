//! The hosts that `pgas run` is asked to take.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use dom0_proxy::membership::Secret;

use super::Hub;
use crate::arguments::HostArguments;
use crate::hosts::{HostList, PlacementOrder, of_allocation, of_argument, of_file, place};

/// The word for the nodes of the Slurm allocation that `pgas` runs in.
const SLURM: &str = "slurm";
/// Where the secret of an installation is.
const SECRET: &str = "/etc/xenolith/secret";

/// The hub of a job of `size` ranks over the hosts that are asked for, if any are.
pub fn hub(asked: &HostArguments, size: u32) -> anyhow::Result<Option<Hub>> {
    let Some(list) = list(asked)? else {
        ensure!(
            asked.placement.is_none() && asked.secret.is_none(),
            "--placement and --secret are for jobs over several hosts: give --hosts or --hostfile"
        );
        return Ok(None);
    };
    let placed = place(&list, size, asked.placement.unwrap_or(PlacementOrder::Block))?;
    let secret = Secret::read(&secret_file(asked.secret.as_deref()))?;
    Ok(Some(Hub { placed, secret }))
}

fn list(asked: &HostArguments) -> anyhow::Result<Option<HostList>> {
    match (&asked.hosts, &asked.hostfile) {
        (Some(word), _) if word == SLURM => {
            let variable = |name: &str| {
                let value = std::env::var(name);
                value.with_context(|| {
                    format!("--hosts {SLURM}: {name}: run pgas in a Slurm allocation")
                })
            };
            let [nodes, tasks] = ["SLURM_JOB_NODELIST", "SLURM_TASKS_PER_NODE"].map(variable);
            of_allocation(&nodes?, &tasks?).map(Some)
        }
        (Some(text), _) => of_argument(text).map(Some),
        (None, Some(path)) => {
            let what = || format!("--hostfile {}", path.display());
            let text = std::fs::read_to_string(path).with_context(what)?;
            of_file(&text).with_context(what).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn secret_file(asked: Option<&Path>) -> PathBuf {
    let of_environment = || std::env::var_os("XENOLITH_SECRET").filter(|path| !path.is_empty());
    match asked {
        Some(path) => path.to_owned(),
        None => of_environment().map_or(SECRET.into(), PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use anyhow::bail;

    use super::*;

    fn asked(hosts: Option<&str>) -> HostArguments {
        let hosts = hosts.map(Into::into);
        HostArguments { hosts, hostfile: None, placement: None, secret: None }
    }

    #[test]
    fn without_hosts_there_is_no_hub() {
        assert!(hub(&asked(None), 4).unwrap().is_none());
        let placement = Some(PlacementOrder::Cyclic);
        let error = hub(&HostArguments { placement, ..asked(None) }, 4).unwrap_err().to_string();
        assert!(error.contains("--hosts"), "{error}");
    }

    #[test]
    fn hosts_are_taken_from_where_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let [secret, hostfile] = ["secret", "nodes"].map(|name| folder.path().join(name));
        fs::write(&secret, "0f".repeat(32)).unwrap();
        fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        let secret = Some(secret);
        let arguments = HostArguments { secret: secret.clone(), ..asked(Some("a,b:7")) };
        let found = hub(&arguments, 3).unwrap().unwrap();
        assert_eq!(found.placed.names(), ["a", "b"]);
        assert_eq!(found.placed.ranks, [0, 0, 1]);
        let failing = |host: &crate::hosts::Host| match host.port {
            7 => bail!("nobody is there"),
            _ => Ok(()),
        };
        let error = format!("{:#}", found.on_all(failing).unwrap_err());
        assert_eq!(error, "host b: nobody is there");

        let placement = Some(PlacementOrder::Cyclic);
        let arguments =
            HostArguments { hostfile: Some(hostfile.clone()), placement, secret, ..asked(None) };
        let error = format!("{:#}", hub(&arguments, 3).unwrap_err());
        assert!(error.contains(hostfile.to_str().unwrap()), "{error}");
        fs::write(&hostfile, "a slots=1\nb slots=2\n").unwrap();
        assert_eq!(hub(&arguments, 3).unwrap().unwrap().placed.ranks, [0, 1, 1]);
        assert!(hub(&arguments, 4).unwrap_err().to_string().contains("3 slots"));
    }
}
