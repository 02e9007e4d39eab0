//! This rank's place in its job, as the command line says.

use crate::arch::lock::Once;
use crate::logic::command_line::Place;

static PLACE: Once<Option<Place>> = Once::new();

/// Remembers what the command line says.
pub(crate) fn set(place: Option<Place>) {
    PLACE.set(place);
}

/// The place; none for an image that was started alone.
pub(crate) fn get() -> Option<&'static Place> {
    PLACE.get()?.as_ref()
}

/// The rank, from 0.
pub(crate) fn rank() -> u32 {
    get().map_or(0, |place| place.rank)
}

/// How many ranks the job has.
pub(crate) fn size() -> u32 {
    get().map_or(1, |place| place.size)
}
