use std::collections::{BTreeMap, btree_map};

use super::Change;
use crate::endpoint::{Endpoint, EndpointId};

/// What a stream of changes adds up to: the endpoints there are now, in the
/// order of their identities.
///
/// ```
/// use lb_core::{discovery::{Change, Set}, endpoint::Endpoint};
///
/// let mut set = Set::new();
/// set.apply(Change::Upsert("a".into(), Endpoint::new("10.0.0.1:80")));
/// set.apply(Change::Remove("b".into()));
/// assert_eq!(set.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T>(BTreeMap<EndpointId, Endpoint<T>>);

impl<T> Set<T> {
    /// No endpoint.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes one step. Of two endpoints with the same identity in a
    /// [`Change::Reset`], the later one stands.
    pub fn apply(&mut self, change: Change<T>) {
        match change {
            Change::Reset(all) => self.0 = all.into_iter().collect(),
            Change::Upsert(id, endpoint) => {
                self.0.insert(id, endpoint);
            }
            Change::Remove(id) => {
                self.0.remove(&id);
            }
        }
    }

    /// The endpoint of this identity.
    pub fn get(&self, id: &EndpointId) -> Option<&Endpoint<T>> {
        self.0.get(id)
    }

    /// All of them, in the order of their identities.
    pub fn iter(&self) -> btree_map::Iter<'_, EndpointId, Endpoint<T>> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> FromIterator<(EndpointId, Endpoint<T>)> for Set<T> {
    fn from_iter<I: IntoIterator<Item = (EndpointId, Endpoint<T>)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = (EndpointId, Endpoint<T>);
    type IntoIter = btree_map::IntoIter<EndpointId, Endpoint<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = (&'a EndpointId, &'a Endpoint<T>);
    type IntoIter = btree_map::Iter<'a, EndpointId, Endpoint<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(id: &str, target: u8) -> (EndpointId, Endpoint<u8>) {
        (id.into(), Endpoint::new(target))
    }

    #[test]
    fn a_reset_forgets_what_it_does_not_name() {
        let mut set: Set<u8> = [pair("a", 1), pair("b", 2)].into_iter().collect();
        set.apply(Change::Reset(vec![pair("b", 3), pair("b", 4)]));
        assert_eq!(set.into_iter().collect::<Vec<_>>(), [pair("b", 4)]);
    }

    #[test]
    fn removing_the_unknown_changes_nothing() {
        let mut set: Set<u8> = [pair("a", 1)].into_iter().collect();
        set.apply(Change::Remove("b".into()));
        assert_eq!(set.get(&"a".into()), Some(&Endpoint::new(1)));
        set.apply(Change::Remove("a".into()));
        assert!(set.is_empty());
    }
}
