//! Bytes that are cheap to make, and whose order a client can check.
//!
//! Byte `i` depends on `i` alone, and repeats only after [`PERIOD`], a prime number: a piece that is missing,
//! doubled or out of place does not go unnoticed, as it would with a period of a buffer's size.

use std::sync::LazyLock;

/// After how many bytes the pattern repeats.
pub const PERIOD: usize = 65_521;

/// The pattern twice, so that every piece of up to [`PERIOD`] bytes is one slice of it.
static TWICE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..2 * PERIOD).map(|index| mix(index % PERIOD)).collect());

/// One byte out of an index, so that neighbours differ in no simple way.
fn mix(index: usize) -> u8 {
    let spread = (index as u32).wrapping_mul(0x9E37_79B1);
    (spread >> 24) as u8
}

/// The byte at this place.
pub fn at(index: u64) -> u8 {
    mix((index % PERIOD as u64) as usize)
}

/// Appends `length` bytes of the pattern, from the place `start` on.
pub fn extend(out: &mut Vec<u8>, start: u64, length: usize) {
    out.reserve(length);
    let (mut place, mut left) = (start, length);
    while left > 0 {
        let offset = (place % PERIOD as u64) as usize;
        let part = left.min(PERIOD);
        out.extend_from_slice(&TWICE[offset..offset + part]);
        place += part as u64;
        left -= part;
    }
}

/// Checks a body as it comes, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Bytes that were right.
    length: u64,
    wrong: bool,
}

impl Check {
    /// Nothing received so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next piece.
    pub fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let offset = (self.length % PERIOD as u64) as usize;
            let (part, rest) = piece.split_at(piece.len().min(PERIOD));
            self.wrong |= part != &TWICE[offset..offset + part.len()];
            self.length += part.len() as u64;
            piece = rest;
        }
    }

    /// Whether exactly the first `length` bytes of the pattern came.
    pub fn is_whole(&self, length: u64) -> bool {
        !self.wrong && self.length == length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(pieces: &[&[u8]]) -> Check {
        let mut check = Check::new();
        pieces.iter().for_each(|piece| check.update(piece));
        check
    }

    #[test]
    fn any_cut_of_the_pattern_is_whole_and_nothing_else_is() {
        let mut all = Vec::new();
        extend(&mut all, 0, 200_000);
        assert_eq!(all[150_000], at(150_000));
        let (a, b) = all.split_at(70_001);
        assert!(received(&[a, b]).is_whole(200_000));
        assert!(!received(&[b, a]).is_whole(200_000));
        assert!(!received(&[a, a, b]).is_whole(200_000));
        assert!(!received(&[a, &b[1..]]).is_whole(199_999));
        assert!(!received(&[a]).is_whole(200_000));
    }

    #[test]
    fn a_piece_may_start_anywhere() {
        let mut piece = Vec::new();
        extend(&mut piece, 131_000, 100);
        assert!((0..100).all(|i| piece[i as usize] == at(131_000 + i)));
    }
}
