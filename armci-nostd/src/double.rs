//! A job in plain memory, for tests: its ranks are threads, and so is its proxy.

use core::alloc::Layout;
use core::cell::RefCell;
use core::mem::offset_of;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use real_std::sync::Mutex;
use real_std::thread;
use std::alloc::{alloc_zeroed, dealloc};
use std::prelude::v1::*;
use std::sync::Arc;

use linked_list_allocator::Heap;

use crate::api::armci::Armci;
use crate::error::ProxyGone;
use crate::path::platform::{Awaited, Platform, PublicView, View};
use crate::serve::apply::{Own, apply};
use crate::serve::bounds::Bounds;
use crate::serve::check::{Checked, check};
use crate::serve::window::Window;
use crate::shared::gate::Gate;
use crate::shared::ring::{Consumer, Producer, SharedSlots};
use crate::wire::area::{JobState, RuntimeArea};
use crate::wire::attach::WindowLayout;
use crate::wire::limits::{COMPLETIONS, SUBMISSIONS};
use crate::wire::request::{Completion, Request, Status};

const PAGE: usize = 4096;
/// Bytes of a rank's public memory.
const PUBLIC: usize = 8 << 20;
/// The window: the runtime area, the public memory, and a page that is nobody else's.
const LEN: usize = size_of::<RuntimeArea>() + PUBLIC + PAGE;

/// The job.
pub struct PlainJob {
    ranks: Vec<PlainRank>,
    /// Whether ranks see nothing of each other but what they share piece by piece.
    by_pieces: bool,
    stop: AtomicBool,
}

/// What all know of one of its ranks.
pub struct PlainRank {
    window: NonNull<u8>,
    /// How often it has left its neighbours' memory for a gate that is being closed.
    pub left: AtomicUsize,
    /// How often all that it has mapped was taken away.
    generation: AtomicU64,
    /// What it has mapped piece by piece, by tokens, in this generation.
    pub mapped: Mutex<Vec<u64>>,
    /// After how many more pieces all is taken away, as by an upcall in that moment.
    pub robbed_after: AtomicUsize,
    /// Whether nothing can be mapped.
    pub refuses: AtomicBool,
}

// SAFETY: the memory is shared by design, as that of ranks in domains or processes is.
unsafe impl Send for PlainRank {}
// SAFETY: as above.
unsafe impl Sync for PlainRank {}

type Submissions = Consumer<'static, SharedSlots<Request>>;
type Completions = Producer<'static, SharedSlots<Completion>>;

fn allocation() -> Layout {
    Layout::from_size_align(LEN, PAGE).unwrap()
}

impl PlainRank {
    fn new() -> Self {
        // SAFETY: the size is not zero.
        let window = NonNull::new(unsafe { alloc_zeroed(allocation()) }).unwrap();
        // SAFETY: aligned and long enough.
        unsafe { window.cast::<RuntimeArea>().write(RuntimeArea::new()) };
        Self {
            window,
            left: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            mapped: Mutex::default(),
            robbed_after: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
        }
    }

    /// Takes all away that it has mapped, as a suspension does.
    pub fn rob(&self) {
        self.gate().give_back();
        assert!(self.gate().is_empty(), "robbed in its neighbours' memory");
        self.mapped.lock().unwrap().clear();
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Its runtime area.
    pub fn area(&self) -> &'static RuntimeArea {
        // SAFETY: initialized, all atomics and cells. It lives as long as the job, which outlives
        // its ranks.
        unsafe { &*self.window.as_ptr().cast() }
    }

    /// Its gate.
    pub fn gate(&self) -> Gate<'static> {
        let header = &self.area().header;
        Gate { epoch: &header.gate.0, inside: &header.inside.0 }
    }

    fn start(&self) -> u64 {
        self.window.as_ptr().expose_provenance() as u64
    }

    fn public(&self) -> Range<u64> {
        let start = self.start() + size_of::<RuntimeArea>() as u64;
        start..start + PUBLIC as u64
    }

    /// The first byte behind its public memory.
    pub fn private(&self) -> *mut u8 {
        // SAFETY: in the window.
        unsafe { self.window.as_ptr().add(LEN - PAGE) }
    }

    fn window(&self) -> Window {
        let public = self.public();
        let layout = WindowLayout {
            window: self.start(),
            len: LEN as u64,
            runtime: self.start(),
            public_start: public.start,
            public_end: public.end,
        };
        // SAFETY: aligned, and valid as long as the job.
        unsafe { Window::new(self.window, &layout) }.unwrap()
    }

    fn rings(&self) -> (Submissions, Completions) {
        let area = self.area();
        let header = &area.header;
        // SAFETY: the slots lie in the area; nobody makes references to them.
        let (submissions, completions) = unsafe {
            (
                SharedSlots::new(area.submissions.get().cast(), SUBMISSIONS),
                SharedSlots::new(area.completions.get().cast(), COMPLETIONS),
            )
        };
        (
            Consumer::new(submissions, &header.submission_tail.0, &header.submission_head.0),
            Producer::new(completions, &header.completion_tail.0, &header.completion_head.0),
        )
    }
}

impl Drop for PlainRank {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.window.as_ptr(), allocation()) };
    }
}

impl PlainJob {
    /// A job of `size` ranks, attached, its gates offered in epoch 1.
    pub fn new(size: usize) -> Arc<Self> {
        Self::make(size, false)
    }

    /// The same of ranks that share their memory piece by piece.
    pub fn by_pieces(size: usize) -> Arc<Self> {
        Self::make(size, true)
    }

    fn make(size: usize, by_pieces: bool) -> Arc<Self> {
        let ranks: Vec<_> = (0..size).map(|_| PlainRank::new()).collect();
        for rank in &ranks {
            rank.gate().offer(1);
            rank.area().header.state.0.store(JobState::Attached as u32, Ordering::Release);
        }
        Arc::new(Self { ranks, by_pieces, stop: AtomicBool::new(false) })
    }

    /// What all know of a rank.
    pub fn rank(&self, rank: usize) -> &PlainRank {
        &self.ranks[rank]
    }

    /// Becomes a rank that says of its public memory what is true.
    pub fn attach(self: &Arc<Self>, rank: usize) -> Armci {
        self.attach_claiming(rank, self.ranks[rank].public())
    }

    /// Becomes a rank that says that its public memory is `claim`.
    pub fn attach_claiming(self: &Arc<Self>, rank: usize, claim: Range<u64>) -> Armci {
        let public = self.ranks[rank].public();
        // SAFETY: the public memory is nobody else's, and stays.
        let heap = unsafe {
            Heap::new(core::ptr::with_exposed_provenance_mut(public.start as usize), PUBLIC)
        };
        let platform = PlainPlatform { job: self.clone(), rank, claim, heap: RefCell::new(heap) };
        Armci::attach(rank, self.ranks.len(), Box::new(platform)).unwrap()
    }

    /// Runs `work` while a proxy serves the rings.
    pub fn served<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        thread::scope(|scope| {
            self.stop.store(false, Ordering::Relaxed);
            scope.spawn(|| self.serve());
            let result = work();
            self.stop.store(true, Ordering::Relaxed);
            result
        })
    }

    fn serve(&self) {
        let windows: Vec<Window> = self.ranks.iter().map(PlainRank::window).collect();
        let bounds: Vec<Bounds> = windows.iter().map(|window| window.bounds().clone()).collect();
        let mut rings: Vec<_> = self.ranks.iter().map(PlainRank::rings).collect();
        while !self.stop.load(Ordering::Relaxed) {
            for (rank, (submissions, completions)) in rings.iter_mut().enumerate() {
                while let Some(request) = submissions.pop().unwrap() {
                    let done = match check(&request, &bounds[rank], &bounds) {
                        Ok(Checked::Fence { .. }) => Ok(0),
                        Ok(Checked::Work(work)) => apply(
                            &work,
                            Own::Window(&windows[rank]),
                            &windows[work.target() as usize],
                        ),
                        Err(_) => return self.fail(),
                    };
                    let Ok(value) = done else {
                        submissions.put_back();
                        break;
                    };
                    submissions.release();
                    let status = Status::Ok as u32;
                    assert!(
                        completions.push(Completion { tag: request.tag, status, value }).unwrap()
                    );
                    completions.publish();
                }
            }
            thread::yield_now();
        }
    }

    fn fail(&self) {
        for rank in &self.ranks {
            rank.area().header.state.0.store(JobState::Failed as u32, Ordering::Release);
        }
    }
}

/// What one of its ranks runs on.
struct PlainPlatform {
    job: Arc<PlainJob>,
    rank: usize,
    /// What the rank says that its public memory is.
    claim: Range<u64>,
    heap: RefCell<Heap>,
}

impl PlainPlatform {
    fn own(&self) -> &PlainRank {
        self.job.rank(self.rank)
    }
}

// SAFETY: the area is always the same, the heap hands out memory that is its own, and all ranks'
// memory is there as long as the job.
unsafe impl Platform for PlainPlatform {
    fn area(&self) -> &'static RuntimeArea {
        self.own().area()
    }

    fn notify(&self) {}

    fn wait(&self, _awaited: Awaited) -> Result<(), ProxyGone> {
        thread::yield_now();
        Ok(())
    }

    fn pause(&self, looks: u32, _: Awaited) -> bool {
        thread::yield_now();
        looks < 10
    }

    fn contains(&self, address: usize, len: usize) -> bool {
        let start = self.own().start() as usize;
        address >= start && address.checked_add(len).is_some_and(|end| end <= start + LEN)
    }

    fn public(&self) -> Range<u64> {
        self.claim.clone()
    }

    fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = self.heap.borrow_mut().allocate_first_fit(layout).ok()?;
        // SAFETY: just allocated with this size.
        unsafe { memory.write_bytes(0, layout.size()) };
        Some(memory)
    }

    unsafe fn dealloc(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { self.heap.borrow_mut().deallocate(memory, layout) };
    }

    fn page(&self) -> Option<usize> {
        self.job.by_pieces.then_some(PAGE)
    }

    fn share(&self, memory: NonNull<u8>, _len: usize) -> Option<u64> {
        Some(memory.as_ptr().expose_provenance() as u64)
    }

    fn map(&self, _rank: usize, _len: usize, token: u64) -> Option<NonNull<u8>> {
        let own = self.own();
        if own.refuses.load(Ordering::SeqCst) {
            return None;
        }
        own.mapped.lock().unwrap().push(token);
        if own.robbed_after.load(Ordering::SeqCst) > 0
            && own.robbed_after.fetch_sub(1, Ordering::SeqCst) == 1
        {
            own.rob();
        }
        NonNull::new(core::ptr::with_exposed_provenance_mut(token as usize))
    }

    unsafe fn unmap(&self, _rank: usize, mapped: NonNull<u8>, _len: usize) {
        let token = mapped.addr().get() as u64;
        self.own().mapped.lock().unwrap().retain(|it| *it != token);
    }

    fn generation(&self) -> u64 {
        self.own().generation.load(Ordering::SeqCst)
    }

    fn view(&self, rank: usize) -> Option<View> {
        if self.job.by_pieces {
            return None;
        }
        let other = self.job.rank(rank);
        let there = other.public();
        let at = |offset| {
            // SAFETY: in the window.
            unsafe { other.window.add(offset) }
        };
        let mailbox = at(offset_of!(RuntimeArea, mailbox)).cast();
        let public = Some(PublicView { there, here: at(size_of::<RuntimeArea>()) });
        Some(View { mailbox, public })
    }

    fn rings(&self) -> bool {
        true
    }

    fn left(&self) {
        self.own().left.fetch_add(1, Ordering::SeqCst);
    }
}
