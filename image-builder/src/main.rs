//! The program `image-builder`.

#![forbid(unsafe_code)]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use image_builder::build::{BuildOptions, build};
use image_builder::compile::{Application, Targets};
use image_builder::explain::{Meaning, Symbols};
use image_builder::image;
use image_builder::install::InstallC;
use image_builder::memory::Mebibytes;

/// Builds, checks and explains Xenolith unikernel images.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Compile an application and write NAME.elf (symbols), NAME.img (sealed) and NAME.cfg (for xl create)
    Build(BuildArgs),
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
    /// An example of the package; may be given several times, all are compiled together
    #[arg(long = "example", value_name = "NAME")]
    examples: Vec<String>,
    /// A binary of the package; may be given several times. Without --example and --bin: all binaries
    #[arg(long = "bin", value_name = "NAME")]
    bins: Vec<String>,
    /// The package [default: the manifest's own; guest-kernel where that is a workspace's]
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
        Verb::Check { image } => check(&image),
        Verb::Explain(args) => explain(&args),
        Verb::InstallC(args) => install_c(args),
    };
    if let Err(error) = outcome {
        eprintln!("image-builder: {error:#}");
        std::process::exit(1);
    }
}

fn build_images(args: BuildArgs) -> Result<()> {
    let options = BuildOptions {
        application: Application {
            manifest_path: args.manifest_path,
            package: args.package,
            targets: Targets { examples: args.examples, bins: args.bins },
            features: args.features,
            target_cpu: args.target_cpu,
        },
        out: args.out,
        memory: args.mem,
        install_dir: args.install_dir,
        args: args.args,
    };
    for built in build(&options)? {
        let needed = Mebibytes::covering(built.info.minimum_memory);
        println!("{}: {} KiB, needs {needed} at least", built.img.display(), built.size.div_ceil(1024));
    }
    Ok(())
}

fn check(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let info = image::verify(&bytes).with_context(|| path.display().to_string())?;
    println!(
        "{}: good; version {}, entry {:#x}, loads {:#x}..{:#x}, needs {} at least",
        path.display(),
        info.version,
        info.entry,
        info.span.start,
        info.span.end,
        Mebibytes::covering(info.minimum_memory),
    );
    Ok(())
}

fn explain(args: &ExplainArgs) -> Result<()> {
    let symbols = Symbols::open(&args.elf).with_context(|| args.elf.display().to_string())?;
    let meaning = if args.exact { Meaning::Instruction } else { Meaning::ReturnAddress };
    if !args.addresses.is_empty() {
        for text in &args.addresses {
            let address = hexadecimal(text)
                .ok_or_else(|| anyhow!("`{text}` is not an address; write it in hexadecimal, as 0x1012ab"))?;
            println!("{}", symbols.explain(address, meaning));
        }
        return Ok(());
    }
    let mut log = String::new();
    std::io::stdin().read_to_string(&mut log).context("standard input")?;
    let mut known = 0;
    for address in log.split_whitespace().filter(|word| word.starts_with("0x")).filter_map(hexadecimal) {
        let explanation = symbols.explain(address, meaning);
        if !explanation.frames.is_empty() {
            println!("{explanation}");
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
    println!("{0}: compile by `{0} prog.c -o prog`, run by `pgas run --hosted -n 4 ./prog`", compiler.display());
    Ok(())
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}
