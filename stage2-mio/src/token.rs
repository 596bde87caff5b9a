//! The keys under which the loop keeps what it owns, and the tokens that the kernel keeps for it.
//!
//! A key is the index of an entry and the generation of its owner, in 64 bits. Each owner of an
//! entry has another generation. So an event or a message for an owner that has gone finds
//! nothing, and never the next owner.

use mio::Token;
pub(crate) use slotmap::DefaultKey as Key;
use slotmap::{Key as _, KeyData};

/// The token of a socket with this key. It has to hold all of the key, generation and index.
pub(crate) fn of(key: Key) -> Token {
    const { assert!(usize::BITS >= u64::BITS) };
    Token(key.data().as_ffi() as usize)
}

/// The key in a token.
pub(crate) fn key(token: Token) -> Key {
    KeyData::from_ffi(token.0 as u64).into()
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_stale_token_never_reaches_the_next_owner() {
        let mut entries = SlotMap::new();
        let first = of(entries.insert("first"));
        assert_eq!(entries.remove(key(first)), Some("first"));
        let second = of(entries.insert("second"));
        assert_eq!(first.0 as u32, second.0 as u32, "the entry is the same");
        assert_eq!(entries.get(key(first)), None);
        assert_eq!(entries.remove(key(first)), None);
        assert_eq!(entries.get(key(second)), Some(&"second"));
    }
}
