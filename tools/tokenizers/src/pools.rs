//! Memory for the small blocks that a tokenizer takes and gives back by the thousand: a list of free ones for every size, where
//! Rust's allocator for WebAssembly searches a tree and joins neighbours. Larger blocks are that one's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

const STEP: usize = 16;
const LARGEST: usize = 1024;
const SLAB: usize = 1 << 16;

struct State {
    /// By size in steps, each block holding the place of the next.
    free: [*mut u8; LARGEST / STEP + 1],
    /// What is left of the slab from which new blocks are cut.
    rest: *mut u8,
    left: usize,
}

pub struct Pools(UnsafeCell<State>);

/// The module has one thread.
unsafe impl Sync for Pools {}

impl Pools {
    pub const fn new() -> Self {
        let free = [null_mut(); LARGEST / STEP + 1];
        Pools(UnsafeCell::new(State { free, rest: null_mut(), left: 0 }))
    }
}

/// A block's size in steps; none where it is not kept in a list.
#[inline]
fn steps(layout: &Layout) -> Option<usize> {
    (layout.size() <= LARGEST && layout.align() <= STEP).then(|| layout.size().div_ceil(STEP))
}

#[cold]
unsafe fn cut(state: &mut State, size: usize) -> *mut u8 {
    if state.left < size {
        let slab = System.alloc(Layout::from_size_align_unchecked(SLAB, STEP));
        if slab.is_null() {
            return slab;
        }
        (state.rest, state.left) = (slab, SLAB);
    }
    let block = state.rest;
    state.rest = block.add(size);
    state.left -= size;
    block
}

unsafe impl GlobalAlloc for Pools {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(steps) = steps(&layout) else {
            return System.alloc(layout);
        };
        let state = &mut *self.0.get();
        let block = state.free[steps];
        if block.is_null() {
            return cut(state, steps * STEP);
        }
        state.free[steps] = block.cast::<*mut u8>().read();
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(steps) = steps(&layout) else {
            return System.dealloc(block, layout);
        };
        let state = &mut *self.0.get();
        block.cast::<*mut u8>().write(state.free[steps]);
        state.free[steps] = block;
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let wanted = Layout::from_size_align_unchecked(size, layout.align());
        match (steps(&layout), steps(&wanted)) {
            (None, None) => System.realloc(block, layout, size),
            (before, after) if before == after => block,
            _ => {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    block.copy_to_nonoverlapping(moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            }
        }
    }
}
