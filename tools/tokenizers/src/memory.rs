//! C's `malloc` and its like, for Oniguruma, out of Rust's own allocator. The size stands before each block.

use std::alloc::{alloc, dealloc, realloc as grow, Layout};
use std::ptr::{null_mut, write_bytes};

const HEAD: usize = 16;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size + HEAD, HEAD).unwrap()
}

#[no_mangle]
pub unsafe extern "C" fn malloc(size: usize) -> *mut u8 {
    let block = alloc(layout(size));
    if block.is_null() {
        return block;
    }
    block.cast::<usize>().write(size);
    block.add(HEAD)
}

#[no_mangle]
pub unsafe extern "C" fn free(pointer: *mut u8) {
    if !pointer.is_null() {
        let block = pointer.sub(HEAD);
        dealloc(block, layout(block.cast::<usize>().read()));
    }
}

#[no_mangle]
pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
    let pointer = malloc(count * size);
    if !pointer.is_null() {
        write_bytes(pointer, 0, count * size);
    }
    pointer
}

#[no_mangle]
pub unsafe extern "C" fn realloc(pointer: *mut u8, size: usize) -> *mut u8 {
    if pointer.is_null() {
        return malloc(size);
    }
    let block = pointer.sub(HEAD);
    let grown = grow(block, layout(block.cast::<usize>().read()), size + HEAD);
    if grown.is_null() {
        return null_mut();
    }
    grown.cast::<usize>().write(size);
    grown.add(HEAD)
}
