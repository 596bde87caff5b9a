//! Where the loop keeps what it owns, and the keys by which it finds it again.
//!
//! Its rules:
//! - a key is the index of an entry and the generation of its owner, in one word, so that it fits
//!   a [`Token`];
//! - an entry that is given to the next owner gets the next generation. So an event or a message
//!   that was under way to the last one finds nothing, and never somebody else.

use mio::Token;

/// Finds one owner, and no other, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(usize);

#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// Indices of the entries without an owner.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: usize,
    value: Option<T>,
}

impl Key {
    const INDEX_BITS: u32 = usize::BITS / 2;
    const MASK: usize = (1 << Self::INDEX_BITS) - 1;

    fn new(index: usize, generation: usize) -> Self {
        Key(generation << Self::INDEX_BITS | index)
    }

    fn index(self) -> usize {
        self.0 & Self::MASK
    }

    fn generation(self) -> usize {
        self.0 >> Self::INDEX_BITS
    }
}

impl From<Token> for Key {
    fn from(token: Token) -> Self {
        Key(token.0)
    }
}

impl From<Key> for Token {
    fn from(key: Key) -> Self {
        Token(key.0)
    }
}

// ===== impl Slab =====

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    /// The key that the next [`Slab::insert`] will give: for owners that need to know their own.
    pub(crate) fn vacant_key(&self) -> Key {
        match self.free.last() {
            Some(index) => Key::new(*index, self.entries[*index].generation),
            None => Key::new(self.entries.len(), 0),
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        let key = self.vacant_key();
        if self.free.pop().is_none() {
            self.entries.push(Entry { generation: 0, value: None });
        }
        self.entries[key.index()].value = Some(value);
        key
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index())?;
        entry.value.as_ref().filter(|_| key == Key::new(key.index(), entry.generation))
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index())?;
        entry.value.as_mut().filter(|_| key == Key::new(key.index(), entry.generation))
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index())?;
        if key != Key::new(key.index(), entry.generation) {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & Key::MASK;
        self.free.push(key.index());
        Some(value)
    }

    /// Lets the owner become something else, under the same key.
    ///
    /// # Errors
    ///
    /// `change`'s; then the owner is gone, and its key is stale.
    pub(crate) fn replace<E>(
        &mut self,
        key: Key,
        change: impl FnOnce(T) -> Result<T, E>,
    ) -> Result<(), E> {
        let Some(owner) = self.remove(key) else { return Ok(()) };
        let changed = change(owner)?;
        // Nobody has had the entry in between: it is the one that was freed last.
        self.free.pop();
        self.entries[key.index()] =
            Entry { generation: key.generation(), value: Some(changed) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_never_reaches_the_next_owner() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first.index(), second.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
    }

    #[test]
    fn a_key_survives_the_way_through_a_token() {
        let mut slab = Slab::new();
        let gone = slab.insert(0);
        slab.remove(gone);
        let key = slab.insert(1);
        assert_eq!(Key::from(Token::from(key)), key);
        assert_eq!(slab.get(Token::from(key).into()), Some(&1));
    }

    #[test]
    fn the_vacant_key_is_the_one_that_the_next_owner_gets() {
        let mut slab = Slab::new();
        for _ in 0..2 {
            let key = slab.vacant_key();
            assert_eq!(slab.insert(key), key);
            let other = slab.insert(key);
            slab.remove(other);
            let key = slab.vacant_key();
            assert_eq!(slab.insert(key), key);
        }
    }
}
