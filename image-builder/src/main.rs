//! The program `image-builder`.

#![forbid(unsafe_code)]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use image_builder::build::{BuildOptions, BuiltImage, build, build_c};
use image_builder::c::CProgram;
use image_builder::compile::{Application, Targets};
use image_builder::explain::{Meaning, Symbols};
use image_builder::image;
use image_builder::install_c::InstallC;
use image_builder::mebibytes::Mebibytes;
use image_builder::output;

/// Builds, checks and explains Xenolith unikernel images.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Compile an application and write NAME.elf (symbols), NAME.img (sealed) and NAME.cfg (for xl
    /// create)
    Build(BuildArgs),
    /// The same for a program in C, whose main gets the arguments: compile it and link it with musl
    /// and the kernel
    BuildC(BuildCArgs),
    /// Accept an image only when it is exactly what was sealed, and say what it needs
    Check {
        /// The image
        image: PathBuf,
    },
    /// Tell function and line for the addresses of a backtrace
    Explain(ExplainArgs),
    /// Build ARMCI for C programs that run as Linux processes: PREFIX/bin/armcicc compiles them
    InstallC(InstallCArgs),
}

#[derive(Args)]
struct BuildArgs {
    /// An example of the package; may be given several times, all are compiled together. In
    /// Xenolith's workspace the examples of guest-kernel: hello, cg, randomaccess
    #[arg(long = "example", value_name = "NAME")]
    examples: Vec<String>,
    /// A binary of the package; may be given several times. Without --example and --bin: all
    /// binaries
    #[arg(long = "bin", value_name = "NAME")]
    bins: Vec<String>,
    /// The package, as in `--package test-applications --bin semantics` [default: the manifest's
    /// own; guest-kernel where that is a workspace's]
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,
    /// The application's Cargo.toml [default: found from the current folder]
    #[arg(long, value_name = "FILE")]
    manifest_path: Option<PathBuf>,
    /// Cargo features to enable
    #[arg(long, short = 'F', value_delimiter = ',', value_name = "NAMES")]
    features: Vec<String>,
    /// The processor to compile for, as in rustc's -C target-cpu [default: any x86-64]
    #[arg(long, value_name = "CPU")]
    target_cpu: Option<String>,
    /// Fail if Cargo.lock is not up to date, as cargo's own option
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct BuildCArgs {
    /// The C sources; objects (.o) and libraries (.a) are linked as they are
    #[arg(required = true, value_name = "FILE")]
    sources: Vec<PathBuf>,
    /// The image's name [default: that of the first source]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A folder for #include; may be given several times
    #[arg(short = 'I', value_name = "DIR")]
    include_dirs: Vec<PathBuf>,
    /// Find the mpi.h that comes with ARMCI, which has what ARMCI programs use of MPI, as armcicc
    /// -mpi does
    #[arg(long)]
    mpi: bool,
    /// A macro to define; may be given several times
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    defines: Vec<String>,
    /// The level of optimization, as gcc's
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2")]
    optimization: String,
    /// One more argument for gcc, such as -std=c99; may be given several times
    #[arg(long = "cc-arg", value_name = "ARG", allow_hyphen_values = true)]
    compiler_args: Vec<String>,
    /// A Cargo.toml of the workspace with the kernel [default: the one that image-builder was built
    /// from]
    #[arg(long, value_name = "FILE")]
    manifest_path: Option<PathBuf>,
    /// The processor to compile the kernel for, as in rustc's -C target-cpu [default: any x86-64]
    #[arg(long, value_name = "CPU")]
    target_cpu: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args)]
struct OutputArgs {
    /// The guest's memory in NAME.cfg
    #[arg(long, default_value = "16M", value_name = "SIZE")]
    mem: Mebibytes,
    /// The folder for the results [default: images in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The folder in which the image will lie on the Xen host [default: the one in which xl is run]
    #[arg(long, value_name = "DIR")]
    install_dir: Option<PathBuf>,
    /// The application's arguments in NAME.cfg
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

impl OutputArgs {
    fn of(self, application: Application) -> BuildOptions {
        let Self { mem, out, install_dir, args } = self;
        BuildOptions { application, out, memory: mem, install_dir, args }
    }
}

#[derive(Args)]
struct ExplainArgs {
    /// The NAME.elf file written beside the image
    elf: PathBuf,
    /// Addresses in hexadecimal; without any, they are picked out of standard input (a log)
    addresses: Vec<String>,
    /// Take the addresses as instructions (a register dump), not as return addresses (a backtrace)
    #[arg(long)]
    exact: bool,
}

#[derive(Args)]
struct InstallCArgs {
    /// The folder that gets bin, include and lib
    #[arg(long, value_name = "DIR")]
    prefix: PathBuf,
    /// The Cargo.toml of Xenolith [default: found from the current folder]
    #[arg(long, value_name = "FILE")]
    manifest_path: Option<PathBuf>,
}

fn main() {
    let outcome = match Cli::parse().verb {
        Verb::Build(args) => build_images(args),
        Verb::BuildC(args) => build_c_image(args),
        Verb::Check { image } => check(&image),
        Verb::Explain(args) => explain(&args),
        Verb::InstallC(args) => install_c(args),
    };
    if let Err(error) = outcome {
        output::error_line(format_args!("image-builder: {error:#}"));
        std::process::exit(1);
    }
}

fn build_images(args: BuildArgs) -> Result<()> {
    let application = Application {
        manifest_path: args.manifest_path,
        package: args.package,
        targets: Targets { examples: args.examples, bins: args.bins },
        features: args.features,
        target_cpu: args.target_cpu,
        locked: args.locked,
    };
    build(&args.output.of(application))?.iter().for_each(tell);
    Ok(())
}

fn build_c_image(args: BuildCArgs) -> Result<()> {
    let program = CProgram {
        name: args.name,
        sources: args.sources,
        include_dirs: args.include_dirs,
        mpi: args.mpi,
        defines: args.defines,
        optimization: args.optimization,
        compiler_args: args.compiler_args,
    };
    let kernel = Application::for_c(args.manifest_path, args.target_cpu);
    tell(&build_c(&program, &args.output.of(kernel))?);
    Ok(())
}

fn tell(built: &BuiltImage) {
    let needed = Mebibytes::covering(built.info.minimum_memory);
    let (image, kib) = (built.img.display(), built.size.div_ceil(1024));
    output::line(format_args!("{image}: {kib} KiB, needs {needed} at least"));
}

fn check(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let info = image::verify(&bytes).with_context(|| path.display().to_string())?;
    output::line(format_args!(
        "{}: good; version {}, entry {:#x}, loads {:#x}..{:#x}, needs {} at least",
        path.display(),
        info.version,
        info.entry,
        info.span.start,
        info.span.end,
        Mebibytes::covering(info.minimum_memory),
    ));
    Ok(())
}

fn explain(args: &ExplainArgs) -> Result<()> {
    let symbols = Symbols::open(&args.elf).with_context(|| args.elf.display().to_string())?;
    let meaning = if args.exact { Meaning::Instruction } else { Meaning::ReturnAddress };
    if !args.addresses.is_empty() {
        for text in &args.addresses {
            let address = hexadecimal(text).ok_or_else(|| {
                anyhow!("`{text}` is not an address; write it in hexadecimal, as 0x1012ab")
            })?;
            output::line(symbols.explain(address, meaning));
        }
        return Ok(());
    }
    let mut log = Vec::new();
    std::io::stdin().read_to_end(&mut log).context("standard input")?;
    let log = String::from_utf8_lossy(&log);
    let mut known = 0;
    for address in
        log.split_whitespace().filter(|word| word.starts_with("0x")).filter_map(hexadecimal)
    {
        let explanation = symbols.explain(address, meaning);
        if !explanation.frames.is_empty() {
            output::line(explanation);
            known += 1;
        }
    }
    if known == 0 {
        bail!("no address of {} in standard input", args.elf.display());
    }
    Ok(())
}

fn install_c(args: InstallCArgs) -> Result<()> {
    let InstallCArgs { prefix, manifest_path } = args;
    let compiler = InstallC { prefix, manifest_path, target_dir: None }.install()?;
    output::line(format_args!(
        "{0}: compile by `{0} prog.c -o prog`, run by `pgas run --hosted -n 4 ./prog`",
        compiler.display()
    ));
    Ok(())
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}
