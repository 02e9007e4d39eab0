//! Hosted ranks that attach in every wrong way.

#[path = "support/raw_rank.rs"]
mod raw_rank;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use armci_nostd::wire::attach::{self, Attach, WindowLayout};
use dom0_proxy::attach::hosted;
use raw_rank::{BASE, END, LEN, PUBLIC, RawRank, send_with_descriptors};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// What comes of bytes and descriptors.
fn outcome(bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), String> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    send_with_descriptors(&theirs, bytes, descriptors);
    drop(theirs);
    let asking = hosted::receive(&ours).map_err(|error| error.to_string())?;
    asking.accept(&ours).map(drop).map_err(|error| error.to_string())
}

fn frame(change: impl FnOnce(&mut Attach)) -> Vec<u8> {
    let mut attach = RawRank::message("job", 0);
    change(&mut attach);
    attach::encode(&attach).unwrap()
}

fn honest() -> Vec<u8> {
    frame(|_| {})
}

#[test]
fn an_honest_rank_is_attached() {
    let rank = RawRank::new();
    assert_eq!(outcome(&honest(), &rank.descriptors()), Ok(()));
}

#[test]
fn the_frame_must_be_whole_and_of_this_version() {
    let rank = RawRank::new();
    let whole = honest();
    for end in 1..whole.len() {
        assert!(outcome(&whole[..end], &rank.descriptors()).is_err(), "{end}");
    }
    let mut long = whole.clone();
    long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(outcome(&long, &rank.descriptors()).unwrap_err().contains("longer"));
    let newer = frame(|attach| attach.version = 99);
    assert!(outcome(&newer, &rank.descriptors()).unwrap_err().contains("version 99"));
    // Whatever an attach of another version holds.
    let other = [&8u32.to_le_bytes()[..], &[99, 1, b'j', 0, 255, 255, 255, 255]].concat();
    assert!(outcome(&other, &rank.descriptors()).unwrap_err().contains("version 99"));
}

#[test]
fn the_descriptors_must_be_the_right_three() {
    let rank = RawRank::new();
    let [memfd, to_proxy, to_rank] = rank.descriptors();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    assert!(outcome(&honest(), &[]).unwrap_err().contains("0 file descriptors"));
    assert!(outcome(&honest(), &[memfd, to_proxy]).unwrap_err().contains("2 file descriptors"));
    let many = [memfd, to_proxy, to_rank, to_rank, to_rank, to_rank];
    assert!(outcome(&honest(), &many).unwrap_err().contains("file descriptors"));
    let wrong = |descriptors: &[BorrowedFd<'_>]| outcome(&honest(), descriptors).unwrap_err();
    assert!(wrong(&[memfd, reader.as_fd(), to_rank]).contains("not an eventfd"));
    assert!(wrong(&[memfd, to_rank, to_rank]).contains("not an eventfd"));
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let network = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // An eventfd would be a doorbell too, but a write to it blocks when whoever shares it wants.
    for bell in [to_proxy, writer.as_fd(), memfd, datagrams.as_fd(), network.as_fd()] {
        assert!(wrong(&[memfd, to_proxy, bell]).contains("not a Unix stream socket"));
    }
    assert!(outcome(&honest(), &[to_proxy, to_proxy, to_rank]).unwrap_err().contains("memfd"));
}

#[test]
fn the_window_must_be_real_and_sealed() {
    let rank = RawRank::new();
    let unsealed =
        memfd_create("unsealed", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&unsealed, LEN).unwrap();
    let [_, to_proxy, to_rank] = rank.descriptors();
    assert!(
        outcome(&honest(), &[unsealed.as_fd(), to_proxy, to_rank]).unwrap_err().contains("sealed")
    );
    let file = OwnedFd::from(tempfile::tempfile().unwrap());
    assert!(outcome(&honest(), &[file.as_fd(), to_proxy, to_rank]).unwrap_err().contains("memfd"));
    let larger = frame(|attach| attach.layout.len = LEN + 4096);
    assert!(outcome(&larger, &rank.descriptors()).unwrap_err().contains("claims"));
}

#[test]
fn the_layout_must_be_possible() {
    let rank = RawRank::new();
    let with = |change: fn(&mut WindowLayout)| {
        outcome(&frame(|attach| change(&mut attach.layout)), &rank.descriptors())
            .expect_err("a refusal")
    };
    with(|layout| layout.window = u64::MAX - 4096);
    with(|layout| layout.public_end = END + 1);
    with(|layout| layout.public_start = BASE - 8);
    with(|layout| layout.public_start = BASE);
    with(|layout| (layout.public_start, layout.public_end) = (END, PUBLIC));
    with(|layout| layout.runtime = BASE + 8);
    with(|layout| layout.runtime = END - 4096);
    with(|layout| layout.runtime = u64::MAX - 4095);
    with(|layout| layout.len = 0);
    let elsewhere =
        with(|layout| (layout.runtime, layout.public_start) = (BASE + 0x20000, BASE + 0x40000));
    assert!(elsewhere.contains("runtime area starts with"), "{elsewhere}");
}
