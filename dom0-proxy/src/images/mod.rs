//! Saved images of whole jobs, in a directory of their own.
//!
//! ```text
//! DIR/xenolith-images            says what the directory is; locked by whoever saves
//! DIR/INCARNATION-NUMBER.image   the manifest of one image: the job, its ranks, their pages
//! DIR/NUMBER.pack                the pages that one save has added, compressed
//! DIR/*.unfinished               a manifest that is not committed
//! ```
//!
//! A page is stored once, whatever ranks and images have it: the store knows it by its BLAKE3. A
//! save writes what is new into one pack, then the manifest; one rename makes it an image. What
//! was there before is never written to, so a crash or a full disk cannot harm it. The bytes are in
//! `docs/protocol.md`.
//!
//! - [`ImageStore`]: the directory; begins saves, lists, loads, verifies and removes images;
//! - [`Saving`], then [`Durable`]: an image that comes into being;
//! - [`Image`]: one to be restored, which stays while it is read;
//! - [`Description`], [`RankDescription`]: what a job and its ranks are besides their memory.
//!
//! All that is read is taken for hostile: sizes and counts are checked before room is made for
//! them, hashes before anything is handed out, and no path is ever read from a file.

mod ahead;
mod argument;
mod chunk;
mod collect;
mod description;
mod distrust;
mod error;
mod folder;
mod image;
mod index;
mod listing;
mod lock;
mod manifest;
mod names;
mod pack;
mod page_memory;
mod saving;
mod store;
mod verify;

#[cfg(test)]
mod tests;

pub use argument::as_argument;
pub use chunk::{ChunkHash, PAGE, Page, PageBytes};
pub use collect::Removed;
pub use description::{
    Console, Description, Input, Layout, Line, Options, Program, RankDescription, RankState,
};
pub use error::{ImagesError, Result};
pub use image::{Image, Pick};
pub use listing::{Listed, Summary};
pub use manifest::{Blob, ChunkRun, Manifest, PackRef, PageRun, Place, Sizes, StoredRank};
pub use pack::{BLOCK_CHUNKS, read_block, seal_block};
pub use page_memory::PageMemory;
pub use saving::{Durable, Saving};
pub use store::ImageStore;
pub use verify::{Damage, Part, Report};
