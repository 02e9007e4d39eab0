//! Whether what is said of a job over several hosts makes sense.

use crate::control::{JobSpec, Part};
use crate::error::{Error, Result};
use crate::run_dir::is_job_name;

/// Checks what `spec` says of its part, if it is one.
///
/// # Errors
/// [`Error::Protocol`], with what is wrong; [`Error::NoLine`], if it is to be saved.
pub fn check_part(spec: &JobSpec) -> Result<()> {
    let Some(part) = &spec.part else { return Ok(()) };
    let wrong = |why: String| Error::Protocol { peer: "pgas".into(), why };
    if let Some(why) = fault(part, spec.size) {
        return Err(wrong(format!("a part of a job over several hosts, but {why}")));
    }
    if spec.saving.is_some() {
        return Err(no_lines(&part.job, "saved"));
    }
    Ok(())
}

/// The error that a part of a job cannot be held or saved: `what`.
pub(super) fn no_lines(job: &str, what: &'static str) -> Error {
    let why = "recovery lines over several hosts are still to come".into();
    Error::NoLine { job: job.into(), what, why }
}

/// What is wrong with the part of a job of `size` ranks.
fn fault(part: &Part, size: u32) -> Option<String> {
    let Part { job, host, placement, addresses, secret: _ } = part;
    let hosts = addresses.len();
    let is_host = |host: u32| (host as usize) < hosts;
    Some(if !is_job_name(job) {
        "its job's name is not six digits of base 16".into()
    } else if placement.len() != size as usize {
        format!("it says of {} ranks where they run, and there are {size}", placement.len())
    } else if !is_host(*host) {
        format!("this is said to be host {host} of {hosts}")
    } else if let Some(rank) = placement.iter().position(|host| !is_host(*host)) {
        format!("rank {rank} is said to run on host {} of {hosts}", placement[rank])
    } else if !placement.contains(host) {
        format!("no rank runs on this host, which is host {host} of {hosts}")
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Saving;

    fn check(size: u32, part: Part) -> Result<()> {
        check_part(&JobSpec { size, part: Some(part), ..JobSpec::smallest() })
    }

    #[test]
    fn parts_that_make_sense_are_taken() {
        check_part(&JobSpec::smallest()).unwrap();
        check(1, Part::smallest()).unwrap();
        check(3, Part { host: 1, placement: vec![3, 1, 0], ..Part::smallest() }).unwrap();
    }

    #[test]
    fn others_are_refused_in_one_line() {
        let part = Part::smallest;
        for (size, part, why) in [
            (2, part(), "of 1 ranks where they run, and there are 2"),
            (1, Part { placement: Vec::new(), ..part() }, "of 0 ranks"),
            (1, Part { placement: vec![4], ..part() }, "rank 0 is said to run on host 4 of 4"),
            (2, Part { placement: vec![0, u32::MAX], ..part() }, "rank 1 is said to run on"),
            (1, Part { host: 4, placement: vec![4], ..part() }, "to be host 4 of 4"),
            (1, Part { addresses: Vec::new(), ..part() }, "to be host 0 of 0"),
            (1, Part { host: 1, ..part() }, "no rank runs on this host"),
            (1, Part { job: "../../x".into(), ..part() }, "not six digits"),
            (1, Part { job: "ABCDEF".into(), ..part() }, "not six digits"),
        ] {
            let error = check(size, part).unwrap_err();
            assert_eq!(error.exit_status(), crate::error::status::PROTOCOL);
            let error = error.to_string();
            assert!(error.contains(why) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn parts_that_are_to_be_saved_are_refused() {
        let saving = Some(Saving { directory: "/x".into(), every: None, keep: 1 });
        let part = Some(Part::smallest());
        let error = check_part(&JobSpec { saving, part, ..JobSpec::smallest() }).unwrap_err();
        let error = error.to_string();
        let expected = "job abcdef cannot be saved: recovery lines over several hosts are still to \
                        come";
        assert_eq!(error, expected);
    }
}
