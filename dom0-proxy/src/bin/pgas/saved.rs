//! Saved images of jobs, for which no daemon is needed.

use std::path::Path;

use dom0_proxy::error::status;
use dom0_proxy::images::ImageStore;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{print, print_json};
use crate::table;

/// Lists the images of a directory.
pub fn images(directory: &Path, json: bool) -> anyhow::Result<u8> {
    let images = ImageStore::open(directory)?.images()?;
    if json {
        print_json(&images)?;
    } else {
        print(table::images(&images).trim_end())?;
        for (line, why) in images.iter().filter_map(|it| Some((it.line(), it.damage.as_ref()?))) {
            print(&format!("{line}: {why}"))?;
        }
    }
    Ok(0)
}

/// Reads all images of a directory, and names what is damaged.
pub fn verify(directory: &Path) -> anyhow::Result<u8> {
    let store = ImageStore::open(directory)?;
    // On a terminal only: indicatif draws nothing elsewhere.
    let progress = ProgressBar::new(0);
    let template = "{spinner} verifying: {bytes}/{total_bytes} {wide_bar} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    let report = store.verify(|read, total| {
        progress.set_length(total);
        progress.set_position(read);
    });
    progress.finish_and_clear();
    let report = report?;
    for damage in &report.damages {
        print(&damage.to_string())?;
    }
    let (images, good) = (report.images, report.good);
    print(&format!("{good} of {images} images are good; {} read", table::bytes(report.bytes)))?;
    Ok(if report.damages.is_empty() { 0 } else { status::NOT_RUNNABLE })
}
