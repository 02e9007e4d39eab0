//! Boot modules as read-only files.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::boot_info::{BootInfo, BootModule};
use crate::arch::boot_memory;
use crate::arch::lock::Once;
use crate::file::File;
use crate::logic::cpio::{self, CpioError};

/// A module's name if it has no command line.
const NAMELESS: &str = "ramdisk";

/// Why there are no files.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("the boot module at {0:#x} is not in memory")]
    Elsewhere(u64),
    #[error("the boot module `{0}` is damaged: {1}")]
    Damaged(String, CpioError),
}

static FILES: Once<Vec<File>> = Once::new();

/// The read-only files that the application was started with.
///
/// In a domain: the boot modules (`ramdisk=` in xl.cfg). A module that is a cpio archive gives the
/// files in it; any other is one file with its command line as name, or `ramdisk` if it has none.
pub fn files() -> &'static [File] {
    FILES.get().map_or(&[], |files| files)
}

/// Makes the modules files. At boot, once. A file that is called `withheld` is not the
/// application's: its content.
pub(crate) fn set_up(
    info: &BootInfo,
    withheld: Option<&str>,
) -> Result<Option<&'static [u8]>, FileError> {
    let mut files = read(info)?;
    let place = withheld.and_then(|name| files.iter().position(|file| file.name() == name));
    let content = place.map(|place| files.remove(place).content());
    FILES.set(files);
    Ok(content)
}

/// All files in all modules.
fn read(info: &BootInfo) -> Result<Vec<File>, FileError> {
    let mut files = Vec::new();
    for module in info.modules().filter(|module| !module.content.is_empty()) {
        let content = boot_memory::left_by_xen(module.content)
            .ok_or(FileError::Elsewhere(module.content.start))?;
        if cpio::is_archive(content) {
            let entries =
                cpio::files(content).map_err(|error| FileError::Damaged(name(module), error))?;
            files.extend(entries.into_iter().map(|(name, content)| File::new(name, content)));
        } else {
            files.push(File::new(name(module), content));
        }
    }
    Ok(files)
}

fn name(module: BootModule) -> String {
    let name = boot_memory::left_by_xen(module.command_line)
        .and_then(|name| core::str::from_utf8(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or(NAMELESS).to_string()
}
