//! The `tokenizers` library of Hugging Face behind a handful of C functions, for WebAssembly.
//!
//! The host writes bytes into memory from `allocate`, calls a function, and reads the answer from `numbers` and
//! `text` before it calls the next one. Nothing here decides anything: ids, offsets and words are the library's.

mod memory;
mod pools;

use std::ptr::null_mut;
use std::slice::from_raw_parts;
use std::str::FromStr;
use std::sync::Mutex;
use tokenizers::{AddedToken, Encoding, InputSequence, PostProcessorWrapper, Tokenizer};

#[global_allocator]
static MEMORY: pools::Pools = pools::Pools::new();

const NONE: u32 = u32::MAX;

/// The answer of the last call. The module has one thread.
static NUMBERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static TEXT: Mutex<String> = Mutex::new(String::new());

fn answer_numbers(numbers: Vec<u32>) {
    *NUMBERS.lock().unwrap() = numbers;
}

fn answer_text(text: String) {
    *TEXT.lock().unwrap() = text;
}

#[no_mangle]
pub extern "C" fn numbers() -> *const u32 {
    NUMBERS.lock().unwrap().as_ptr()
}

#[no_mangle]
pub extern "C" fn text() -> *const u8 {
    TEXT.lock().unwrap().as_ptr()
}

#[no_mangle]
pub extern "C" fn text_length() -> usize {
    TEXT.lock().unwrap().len()
}

/// Hash tables and dropout ask for random bytes. The same ones every time: answers have to be repeatable.
#[no_mangle]
unsafe extern "Rust" fn __getrandom_v03_custom(dest: *mut u8, length: usize) -> Result<(), getrandom::Error> {
    for i in 0..length {
        dest.add(i).write((i as u8).wrapping_mul(151).wrapping_add(77));
    }
    Ok(())
}

#[no_mangle]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    let mut bytes = Vec::<u32>::with_capacity(size / 4 + 1);
    let pointer = bytes.as_mut_ptr();
    std::mem::forget(bytes);
    pointer.cast()
}

#[no_mangle]
pub unsafe extern "C" fn release(pointer: *mut u8, size: usize) {
    drop(Vec::<u32>::from_raw_parts(pointer.cast(), 0, size / 4 + 1));
}

unsafe fn read<'a>(pointer: *const u8, length: usize) -> &'a str {
    // The host's encoder writes nothing but UTF-8.
    std::str::from_utf8_unchecked(from_raw_parts(pointer, length))
}

/// A tokenizer from the text of a `tokenizer.json`, its truncation and padding off; null, and why in `text`.
#[no_mangle]
pub unsafe extern "C" fn create(json: *const u8, length: usize) -> *mut Tokenizer {
    std::panic::set_hook(Box::new(|info| answer_text(info.to_string())));
    match Tokenizer::from_str(read(json, length)) {
        Ok(mut tokenizer) => {
            tokenizer.with_padding(None);
            if tokenizer.with_truncation(None).is_err() {
                answer_text("its truncation cannot be turned off".into());
                return null_mut();
            }
            Box::into_raw(Box::new(tokenizer))
        }
        Err(error) => {
            answer_text(error.to_string());
            null_mut()
        }
    }
}

/// Adds tokens, a JSON list of them as in `added_tokens`, as `Tokenizer.add_tokens` does in Python. 0, or -1.
#[no_mangle]
pub unsafe extern "C" fn add_tokens(tokenizer: *mut Tokenizer, json: *const u8, length: usize) -> i32 {
    let tokens: Vec<AddedToken> = match serde_json::from_str(read(json, length)) {
        Ok(tokens) => tokens,
        Err(error) => {
            answer_text(error.to_string());
            return -1;
        }
    };
    match (*tokenizer).add_tokens(tokens) {
        Ok(_) => 0,
        Err(error) => {
            answer_text(error.to_string());
            -1
        }
    }
}

/// Puts another post-processor, as in a tokenizer.json, in the place of the tokenizer's own. 0, or -1.
#[no_mangle]
pub unsafe extern "C" fn set_post_processor(tokenizer: *mut Tokenizer, json: *const u8, length: usize) -> i32 {
    match serde_json::from_str::<Option<PostProcessorWrapper>>(read(json, length)) {
        Ok(processor) => {
            (*tokenizer).with_post_processor(processor);
            0
        }
        Err(error) => {
            answer_text(error.to_string());
            -1
        }
    }
}

/// Whether special tokens in a text are read as plain text (`split_special_tokens`).
#[no_mangle]
pub unsafe extern "C" fn split_special(tokenizer: *mut Tokenizer, split: u32) {
    (*tokenizer).set_encode_special_tokens(split != 0);
}

/// UTF-16 offset of every character of a text, and of its end.
fn utf16_offsets(text: &str) -> Vec<u32> {
    let mut offsets = Vec::with_capacity(text.len() + 1);
    let mut units = 0;
    for character in text.chars() {
        offsets.push(units);
        units += character.len_utf16() as u32;
    }
    offsets.push(units);
    offsets
}

/// Ids, starts, ends and words, one after the other. Offsets count UTF-16 units of the word, or of the only text.
fn flatten(encoding: &Encoding, texts: &[&str], split: bool) -> Vec<u32> {
    let count = encoding.len();
    let tables: Vec<Option<Vec<u32>>> = texts
        .iter()
        .map(|text| (!text.is_ascii()).then(|| utf16_offsets(text)))
        .collect();
    let mut starts = Vec::with_capacity(count);
    let mut ends = Vec::with_capacity(count);
    let mut words = Vec::with_capacity(count);
    for (word, &(start, end)) in encoding.get_word_ids().iter().zip(encoding.get_offsets()) {
        let at = if split { word.unwrap_or(0) as usize } else { 0 };
        let unit = |character: usize| match tables.get(at) {
            Some(Some(table)) => table[character.min(table.len() - 1)],
            _ => character as u32,
        };
        starts.push(unit(start));
        ends.push(unit(end));
        words.push(word.unwrap_or(NONE));
    }
    let mut all = Vec::with_capacity(1 + 4 * count);
    all.push(count as u32);
    all.extend_from_slice(encoding.get_ids());
    all.append(&mut starts);
    all.append(&mut ends);
    all.append(&mut words);
    all
}

fn answer_encoding(encoding: tokenizers::Result<Encoding>, texts: &[&str], split: bool) -> i32 {
    match encoding {
        Ok(encoding) => {
            answer_numbers(flatten(&encoding, texts, split));
            0
        }
        Err(error) => {
            answer_text(error.to_string());
            -1
        }
    }
}

/// Encodes a text without special tokens around it. 0, and `numbers` are its tokens; -1, and `text` says why not.
#[no_mangle]
pub unsafe extern "C" fn encode(tokenizer: *const Tokenizer, bytes: *const u8, length: usize) -> i32 {
    let text = read(bytes, length);
    answer_encoding((*tokenizer).encode_char_offsets(text, false), &[text], false)
}

/// The ids alone of many texts, that lie one after the other: of each text how many, then they themselves.
#[no_mangle]
pub unsafe extern "C" fn encode_ids(
    tokenizer: *const Tokenizer,
    bytes: *const u8,
    lengths: *const u32,
    count: usize,
) -> i32 {
    let mut all = Vec::new();
    for text in cut(bytes, lengths, count) {
        match (*tokenizer).encode_fast(text, false) {
            Ok(encoding) => {
                all.push(encoding.len() as u32);
                all.extend_from_slice(encoding.get_ids());
            }
            Err(error) => {
                answer_text(error.to_string());
                return -1;
            }
        }
    }
    answer_numbers(all);
    0
}

unsafe fn cut<'a>(bytes: *const u8, lengths: *const u32, count: usize) -> Vec<&'a str> {
    let mut start = 0;
    let mut texts = Vec::with_capacity(count);
    for &length in from_raw_parts(lengths, count) {
        texts.push(read(bytes.add(start), length as usize));
        start += length as usize;
    }
    texts
}

/// As `encode`, for a text that comes split into words, which lie one after the other.
#[no_mangle]
pub unsafe extern "C" fn encode_words(
    tokenizer: *const Tokenizer,
    bytes: *const u8,
    lengths: *const u32,
    count: usize,
) -> i32 {
    let words = cut(bytes, lengths, count);
    let input = InputSequence::from(words.as_slice());
    answer_encoding((*tokenizer).encode_char_offsets(input, false), &words, true)
}

/// 0, and `text` is what the ids say; -1, and `text` says why not.
#[no_mangle]
pub unsafe extern "C" fn decode(tokenizer: *const Tokenizer, ids: *const u32, count: usize, skip_special: u32) -> i32 {
    match (*tokenizer).decode(from_raw_parts(ids, count), skip_special != 0) {
        Ok(text) => {
            answer_text(text);
            0
        }
        Err(error) => {
            answer_text(error.to_string());
            -1
        }
    }
}

/// The id of a token, or -1.
#[no_mangle]
pub unsafe extern "C" fn token_to_id(tokenizer: *const Tokenizer, bytes: *const u8, length: usize) -> i32 {
    (*tokenizer).token_to_id(read(bytes, length)).map_or(-1, |id| id as i32)
}

/// The highest id, added tokens included, or -1.
#[no_mangle]
pub unsafe extern "C" fn highest_id(tokenizer: *const Tokenizer) -> i32 {
    (*tokenizer).get_vocab(true).values().max().map_or(-1, |&id| id as i32)
}
