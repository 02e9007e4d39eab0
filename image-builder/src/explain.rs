//! Addresses of a backtrace, told as functions and lines.

use std::fmt;
use std::path::Path;

use addr2line::Loader;

/// Where an address lies; several frames where functions were inlined, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The address that was asked about.
    pub address: u64,
    /// The functions it is in.
    pub frames: Vec<StackFrame>,
}

/// One function, and the line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// The function's name, where known.
    pub function: Option<String>,
    /// File and line, where known.
    pub location: Option<String>,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
#[error(
    "no symbols to be read ({0}); give the .elf file that image-builder wrote beside the image"
)]
pub struct NoSymbols(String);

/// What an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Where a call returns to, as in a backtrace: the call itself lies just before it.
    ReturnAddress,
    /// The very instruction, as in a register dump.
    Instruction,
}

/// An executable's symbols and debug information.
pub struct Symbols {
    loader: Loader,
}

impl Symbols {
    /// Opens the executable with symbols.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(elf: &Path) -> Result<Self, NoSymbols> {
        Loader::new(elf).map(|loader| Self { loader }).map_err(|error| NoSymbols(error.to_string()))
    }

    /// Explains one address. Unknown ones have no frames.
    #[must_use]
    pub fn explain(&self, address: u64, meaning: Meaning) -> Explanation {
        let probe = match meaning {
            Meaning::ReturnAddress => address.saturating_sub(1),
            Meaning::Instruction => address,
        };
        let mut frames = self.inlined_frames(probe);
        if frames.iter().all(|frame| frame.function.is_none())
            && let Some(symbol) = self.loader.find_symbol(probe)
        {
            let function = Some(addr2line::demangle_auto(symbol.into(), None).into_owned());
            let location = frames.pop().and_then(|frame| frame.location);
            frames = vec![StackFrame { function, location }];
        }
        Explanation { address, frames }
    }

    /// Damaged debug information counts as none.
    fn inlined_frames(&self, probe: u64) -> Vec<StackFrame> {
        let mut found = Vec::new();
        let Ok(mut frames) = self.loader.find_frames(probe) else {
            return found;
        };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame
                .function
                .and_then(|name| name.demangle().ok().map(std::borrow::Cow::into_owned));
            let location = frame
                .location
                .and_then(|at| Some(format!("{}:{}", at.file?, at.line.unwrap_or(0))));
            found.push(StackFrame { function, location });
        }
        found
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)?;
        if self.frames.is_empty() {
            write!(f, " unknown")?;
        }
        for (depth, frame) in self.frames.iter().enumerate() {
            let link = if depth == 0 { " " } else { "\n    inlined in " };
            let function = frame.function.as_deref().unwrap_or("unknown");
            let location = frame.location.as_deref().unwrap_or("unknown place");
            write!(f, "{link}{function} at {location}")?;
        }
        Ok(())
    }
}
