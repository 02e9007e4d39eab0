//! Where the heap's free memory is, which the allocator does not tell.
//!
//! Whoever saves a rank's memory reads it in there: a hole begins with two words, its length and
//! the next hole's address.

use core::alloc::Layout;

use linked_list_allocator::Heap;

/// Whether holes look like that in this heap, in which nothing has been allocated yet: another
/// version of the allocator may do it otherwise.
pub(super) fn are_as_expected(heap: &Heap) -> bool {
    // SAFETY: the whole memory is the heap's one hole, which begins with what the allocator knows
    // of it, and the borrow keeps the allocator from running.
    let words = unsafe { heap.bottom().cast::<[usize; 2]>().read_volatile() };
    words == [heap.size(), 0]
}

/// The address of the first hole; 0 if there is none.
pub(super) fn first(heap: &mut Heap) -> u64 {
    // The smallest piece is taken from the first hole, unless that is so odd that nothing fits;
    // then from one behind it.
    const SMALLEST: Layout = Layout::new::<[usize; 2]>();
    let Ok(piece) = heap.allocate_first_fit(SMALLEST) else { return 0 };
    // SAFETY: just allocated with this layout, and nobody else has seen it.
    unsafe { heap.deallocate(piece, SMALLEST) };
    piece.addr().get() as u64
}

#[cfg(all(test, not(xenolith_guest)))]
mod tests {
    use super::*;

    /// A heap that fills this memory.
    fn heap(memory: &mut [[usize; 2]]) -> Heap {
        let mut heap = Heap::empty();
        // SAFETY: the memory is the heap's alone, and outlives it.
        unsafe { heap.init(memory.as_mut_ptr().cast(), size_of_val(memory)) };
        heap
    }

    #[test]
    fn holes_are_as_the_proxy_expects() {
        let mut memory = [[0; 2]; 1024];
        let mut heap = heap(&mut memory);
        assert!(are_as_expected(&heap));
        let (start, size) = (heap.bottom().addr() as u64, heap.size());
        let layout = Layout::from_size_align(512, 8).unwrap();
        let pieces: [_; 4] = core::array::from_fn(|_| heap.allocate_first_fit(layout).unwrap());
        assert_eq!(first(&mut heap), start + 4 * 512);
        for piece in [pieces[2], pieces[0]] {
            // SAFETY: allocated above with this layout.
            unsafe { heap.deallocate(piece, layout) };
        }
        assert_eq!(first(&mut heap), start);
        let hole = |piece: core::ptr::NonNull<u8>| {
            // SAFETY: a hole now, in memory that lives; the allocator is not running.
            unsafe { piece.cast::<[usize; 2]>().read_volatile() }
        };
        assert_eq!(hole(pieces[0]), [512, pieces[2].addr().get()]);
        assert_eq!(hole(pieces[2]), [512, start as usize + 4 * 512]);
        // Nothing is lost by looking.
        assert_eq!(heap.free(), size - 2 * 512);
    }

    #[test]
    fn a_full_heap_has_no_hole() {
        let mut memory = [[0; 2]; 64];
        let mut heap = heap(&mut memory);
        let all = Layout::from_size_align(heap.size(), 8).unwrap();
        heap.allocate_first_fit(all).unwrap();
        assert_eq!(first(&mut heap), 0);
    }
}
