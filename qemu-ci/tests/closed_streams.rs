//! qemu-ci ends quietly when nobody reads what it says, as `... 2>&1 | head` does it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

#[test]
fn an_error_that_nobody_reads_ends_every_verb_by_sigpipe() {
    const SIGPIPE: i32 = 13;
    let gets = ["--get", "/there:no-such-folder/here"];
    for arguments in [
        ["exec", "no-such-script"].as_slice(),
        &["exec", gets[0], gets[1], "/bin/true"],
        &["shell"],
        &["test", "no-such-test"],
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_qemu-ci"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(writer)
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(SIGPIPE), "{arguments:?}: {status}");
    }
}
