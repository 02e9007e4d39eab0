//! The words that image-builder and pgas put on a guest's command line are those that the guest's
//! kernel takes off it.

extern crate alloc;

use image_builder::command_line::{of_arguments, push_words};
use proptest::prelude::*;

#[allow(dead_code, reason = "only the reader is of interest here")]
#[path = "../../guest-kernel/src/logic/command_line.rs"]
mod guest;

use guest::{CommandLine, Place};

proptest! {
    #[test]
    fn arguments_arrive_as_they_were(arguments in prop::collection::vec("[^\0]*", 0..5)) {
        let read = CommandLine::parse(of_arguments(&arguments).as_bytes());
        prop_assert_eq!(read, Ok(CommandLine { arguments, ..CommandLine::default() }));
    }

    #[test]
    fn a_job_s_ranks_find_their_place_and_their_arguments(
        arguments in prop::collection::vec("(xenolith\\.|--|[\"\\\\ \n\t]|.)*", 0..5)
    ) {
        let mut line = String::from("xenolith.job=ab12cd xenolith.rank=2 xenolith.size=4 --");
        push_words(&mut line, &arguments);
        let place = Some(Place { job: "ab12cd".into(), rank: 2, size: 4 });
        let read = CommandLine::parse(line.as_bytes());
        prop_assert_eq!(read, Ok(CommandLine { place, arguments, ..CommandLine::default() }));
    }
}
