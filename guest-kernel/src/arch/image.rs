//! The image's own sections, as the linker script lays them out.

use core::ptr;

use crate::logic::memory_map::Span;

unsafe extern "C" {
    safe static xenolith_image_start: u8;
    safe static xenolith_text_start: u8;
    safe static xenolith_text_end: u8;
    safe static xenolith_image_end: u8;
}

fn between(start: &'static u8, end: &'static u8) -> Span {
    Span { start: ptr::from_ref(start) as u64, end: ptr::from_ref(end) as u64 }
}

/// The whole image, stacks and zeroed data included.
pub(crate) fn whole() -> Span {
    between(&xenolith_image_start, &xenolith_image_end)
}

/// The image's constants and notes.
pub(crate) fn constants() -> Span {
    between(&xenolith_image_start, &xenolith_text_start)
}

/// The image's code.
pub(crate) fn text() -> Span {
    between(&xenolith_text_start, &xenolith_text_end)
}
