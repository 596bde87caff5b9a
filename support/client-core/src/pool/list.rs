//! Lists through the entries of a slab, in the order of a key.
//!
//! An entry holds its own links, so an entry is removed from the middle in constant time, and
//! nothing is allocated.

use slab::Slab;

/// An entry of lists. It may be in as many lists at once as it has links.
pub(super) trait Linked {
    /// What the lists are sorted by. Constant while the entry is in one.
    fn key(&self) -> u64;

    fn links(&mut self) -> &mut [Links];
}

/// The neighbours of an entry in one list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    before: Option<usize>,
    after: Option<usize>,
}

/// A list that uses the links of this number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct List<const N: usize> {
    first: Option<usize>,
    last: Option<usize>,
    length: usize,
}

impl<const N: usize> List<N> {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.first
    }

    pub(super) fn last(&self) -> Option<usize> {
        self.last
    }

    /// Puts an entry where its key belongs. Looks from both ends at once, so it takes constant time
    /// at either of them.
    pub(super) fn insert<E: Linked>(&mut self, entries: &mut Slab<E>, index: usize) {
        let Links { before, after } = self.gap(entries, entries[index].key());
        self.join(entries, before, Some(index));
        self.join(entries, Some(index), after);
        self.length += 1;
    }

    /// Takes an entry out, which has to be in the list.
    pub(super) fn remove<E: Linked>(&mut self, entries: &mut Slab<E>, index: usize) {
        let Links { before, after } = entries[index].links()[N];
        self.join(entries, before, after);
        self.length -= 1;
    }

    /// The neighbours of an entry with this key.
    fn gap<E: Linked>(&self, entries: &mut Slab<E>, key: u64) -> Links {
        let (mut before, mut after) = (self.last, self.first);
        while let (Some(left), Some(right)) = (before, after) {
            if entries[left].key() < key {
                return Links { before, after: entries[left].links()[N].after };
            }
            if entries[right].key() > key {
                return Links { before: entries[right].links()[N].before, after };
            }
            before = entries[left].links()[N].before;
            after = entries[right].links()[N].after;
        }
        Links::default()
    }

    /// Makes two entries neighbours. None is the end of the list.
    fn join<E: Linked>(
        &mut self,
        entries: &mut Slab<E>,
        before: Option<usize>,
        after: Option<usize>,
    ) {
        match before {
            Some(index) => entries[index].links()[N].after = after,
            None => self.first = after,
        }
        match after {
            Some(index) => entries[index].links()[N].before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Entry {
        key: u64,
        links: [Links; 1],
    }

    impl Linked for Entry {
        fn key(&self) -> u64 {
            self.key
        }

        fn links(&mut self) -> &mut [Links] {
            &mut self.links
        }
    }

    fn keys(list: &List<0>, entries: &Slab<Entry>) -> Vec<u64> {
        let after = |index: &usize| entries[*index].links[0].after;
        let forward: Vec<_> = std::iter::successors(list.first(), after).collect();
        let before = |index: &usize| entries[*index].links[0].before;
        let backward = std::iter::successors(list.last(), before);
        assert!(backward.eq(forward.iter().rev().copied()));
        assert_eq!(list.len(), forward.len());
        forward.into_iter().map(|index| entries[index].key).collect()
    }

    proptest! {
        #[test]
        fn a_list_is_a_sorted_set(steps in prop::collection::vec((0..20u64, any::<bool>()), 0..60)) {
            let (mut list, mut entries) = (List::default(), Slab::new());
            let mut model = std::collections::BTreeMap::new();
            for (key, add) in steps {
                match (add, model.get(&key).copied()) {
                    (true, None) => {
                        let index = entries.insert(Entry { key, links: Default::default() });
                        list.insert(&mut entries, index);
                        model.insert(key, index);
                    }
                    (false, Some(index)) => {
                        list.remove(&mut entries, index);
                        entries.remove(index);
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(keys(&list, &entries), Vec::from_iter(model.keys().copied()));
            }
        }
    }
}
