//! ARMCI for C: installed into a folder of its own, and used from there as a user does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use image_builder::install_c::InstallC;
use tempfile::TempDir;
use xenolith_tests::{Ended, Host, ended, target_directory};

/// What all tests share: the installation, and the programs that were compiled with it.
struct Installed {
    folder: TempDir,
    compiler: PathBuf,
}

fn installed() -> Result<&'static Installed> {
    static INSTALLED: OnceLock<Result<Installed, String>> = OnceLock::new();
    let install = || {
        let folder = TempDir::with_prefix("xenolith-c-").context("make a folder")?;
        // Installed, then moved: it must work wherever it is.
        let (made, moved) = (folder.path().join("made"), folder.path().join("with a space"));
        let manifest_path = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        InstallC { prefix: made.clone(), manifest_path, target_dir: Some(target_directory()?) }
            .install()?;
        fs::rename(made, &moved)?;
        Ok(Installed { compiler: moved.join("bin/armcicc"), folder })
    };
    match INSTALLED.get_or_init(|| install().map_err(|error: anyhow::Error| format!("{error:#}"))) {
        Ok(installed) => Ok(installed),
        Err(error) => bail!("{error}"),
    }
}

fn sources(path: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("c").join(path);
    if path.is_file() {
        return Ok(vec![path]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.sort();
    Ok(files)
}

/// Compiles a file or a folder of `tests/c`.
fn compile(source: &str, options: &[&str]) -> Result<PathBuf> {
    let installed = installed()?;
    // Tests run side by side.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let program =
        installed.folder.path().join(format!("{}-{number}", source.trim_end_matches(".c")));
    let output = Command::new(&installed.compiler)
        .args(["-std=c11", "-pedantic", "-O2", "-Wall", "-Wextra", "-Werror"])
        .args(options)
        .args(sources(source)?)
        .arg("-o")
        .arg(&program)
        .output()
        .context("run armcicc")?;
    ensure!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

fn run(host: &Host, ranks: usize, program: &Path, arguments: &[&str]) -> Result<Ended> {
    ended(host.job_of(ranks, program, arguments)?.output().context("run pgas")?)
}

fn succeeds(ended: &Ended, proof: &str) -> Result<()> {
    ensure!(ended.status == 0, "{ended:#?}");
    ensure!(ended.stdout.contains(proof), "no {proof:?} in {ended:#?}");
    Ok(())
}

#[test]
fn semantics_hold_on_every_number_of_ranks() -> Result<()> {
    let (host, program) = (Host::new()?, compile("semantics", &[])?);
    for ranks in [1, 2, 3, 4, 5, 8] {
        succeeds(
            &run(&host, ranks, &program, &[])?,
            &format!("[0] 116 passed, 0 failed on {ranks} ranks"),
        )?;
    }
    Ok(())
}

#[test]
fn semantics_hold_whatever_way_operations_go() -> Result<()> {
    let (host, program) = (Host::new()?, compile("semantics", &[])?);
    for (direct, ranks) in
        [("0", 1), ("0", 2), ("0", 3), ("0", 5), ("mixed", 2), ("mixed", 3), ("mixed", 4)]
    {
        let mut job = host.job_of(ranks, &program, &[])?;
        let ended = ended(job.env("XENOLITH_DIRECT", direct).output().context("run pgas")?)?;
        succeeds(&ended, &format!("[0] 116 passed, 0 failed on {ranks} ranks"))?;
    }
    Ok(())
}

#[test]
fn a_program_without_a_job_is_a_job_of_one() -> Result<()> {
    let output = Command::new(compile("hello.c", &[])?).output()?;
    ensure!(output.stdout == b"hello from 0 of 1, written to by 0\n", "{output:?}");
    Ok(())
}

#[test]
fn a_tool_takes_the_place_of_functions() -> Result<()> {
    let (host, program) = (Host::new()?, compile("profile.c", &[])?);
    for ranks in [1, 3] {
        succeeds(&run(&host, ranks, &program, &[])?, "[0] profile: the tool saw what it should")?;
    }
    Ok(())
}

#[test]
fn mpi_around_armci() -> Result<()> {
    let (host, program) = (Host::new()?, compile("mpi.c", &["-mpi"])?);
    for ranks in [1, 2, 3, 5] {
        succeeds(&run(&host, ranks, &program, &[])?, "[0] mpi: all is as it should be")?;
    }
    // Only who asks for it gets it.
    let Err(error) = compile("mpi.c", &[]) else { bail!("mpi.h was found without -mpi") };
    ensure!(error.to_string().contains("mpi.h"), "{error}");
    Ok(())
}

#[test]
fn threads_take_turns() -> Result<()> {
    let (host, program) = (Host::new()?, compile("threads.c", &["-mpi", "-pthread"])?);
    for (direct, ranks) in [("1", 2), ("1", 3), ("0", 2), ("mixed", 3)] {
        let mut job = host.job_of(ranks, &program, &[])?;
        let ended = ended(job.env("XENOLITH_DIRECT", direct).output().context("run pgas")?)?;
        succeeds(&ended, "[0] threads: all is as it should be")?;
    }
    Ok(())
}

#[test]
fn what_cannot_return_an_error_ends_the_job_with_one_line() -> Result<()> {
    let (host, program) = (Host::new()?, compile("dies.c", &[])?);
    let cases = [
        ("error", 7, "rank 1: the matrix is singular (7)"),
        ("abort", 9, "rank 1: aborted with code 9"),
        ("lock", 1, "rank 1: ARMCI_Lock: mutex 5 of rank 0 does not exist"),
        ("unlock", 1, "rank 1: ARMCI_Unlock: mutex 0 of rank 0 is not held by this rank"),
        ("fence", 1, "rank 1: ARMCI_Fence: no rank 3"),
        ("value", 1, "rank 1: ARMCI_GetValueInt: a null pointer"),
        ("operator", 1, "rank 1: armci_msg_igop: no such operation or type"),
        ("type", 1, "rank 1: armci_msg_gop_scope: no such operation or type"),
        ("group", 1, "rank 1: armci_msg_group_barrier: no such group"),
        ("send", 1, "rank 1: armci_msg_snd: no rank 3"),
        ("members", 1, "rank 1: ARMCI_Group_create: a group cannot have a member twice"),
        (
            "buffer",
            1,
            "rank 1: armci_msg_rcv: a message of 4 bytes from rank 1 does not fit into 2 bytes",
        ),
    ];
    for (case, status, line) in cases {
        let ended = run(&host, 3, &program, &[case])?;
        ensure!(ended.status == status, "{case}: {ended:#?}");
        ensure!(ended.stderr.contains(&format!("[1] {line}")), "{case}: {ended:#?}");
        ensure!(ended.stderr.lines().count() == 2, "{case}: {ended:#?}");
        ensure!(
            ended.stdout.contains("[0] ready\n"),
            "what others had printed is lost; {case}: {ended:#?}"
        );
    }
    Ok(())
}

#[test]
fn headers_are_good_for_cpp_and_for_old_and_new_c() -> Result<()> {
    let installed = installed()?;
    for header in ["armci.h", "message.h", "parmci.h", "armcix.h", "mpi.h"] {
        let source = installed.folder.path().join(format!("only_{header}.c"));
        fs::write(&source, format!("#include <{header}>\nint main(void) {{ return 0; }}\n"))?;
        for options in [
            ["-std=c99", "-xc", "-pedantic"],
            ["-std=c17", "-DMSG_COMMS_MPI", "-pedantic"],
            ["-xc++", "-Wall", "-Wextra"],
        ] {
            let output = Command::new(&installed.compiler)
                .args(["-mpi", "-fsyntax-only", "-Werror"])
                .args(options)
                .arg(&source)
                .output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            // A machine need not have a C++ compiler.
            ensure!(
                output.status.success() || errors.contains("cc1plus"),
                "{header} {options:?}: {errors}"
            );
        }
    }
    Ok(())
}

#[test]
fn pkg_config_knows_it() -> Result<()> {
    let installed = installed()?;
    let prefix = installed.compiler.ancestors().nth(2).context("a prefix")?;
    let Ok(output) = Command::new("pkg-config")
        .args(["--cflags", "armci"])
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .output()
    else {
        // Not every machine has it.
        return Ok(());
    };
    ensure!(String::from_utf8_lossy(&output.stdout).contains("/include"), "{output:?}");
    Ok(())
}
