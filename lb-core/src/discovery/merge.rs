use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{Change, Discovery};
use crate::endpoint::{Endpoint, EndpointId};

/// Several sources as one. Add them with [`source`](Merge::source).
///
/// The first change is a [`Change::Reset`] of what the first source to speak
/// says; no source waits for another. After that a reset of one source replaces
/// the endpoints of that source only, and arrives as upserts of what is new or
/// different, followed by removals. A source that ends leaves its endpoints in force. The merged
/// stream ends when all have ended; if none ever spoke, it says an empty set
/// first.
///
/// ```
/// use lb_core::discovery;
///
/// let ours = discovery::fixed(["10.0.0.1:80"]);
/// let theirs = discovery::fixed(["10.9.0.1:80"]);
/// let both = discovery::merge().source("ours", ours).source("theirs", theirs);
/// # let _ = both;
/// ```
pub fn merge<T>() -> Merge<T> {
    Merge {
        sources: Vec::new(),
        known: BTreeMap::new(),
        changes: VecDeque::new(),
        has_spoken: false,
    }
}

/// The discovery returned by [`merge`].
#[must_use = "a merged discovery does nothing unless it is read"]
pub struct Merge<T> {
    sources: Vec<Source<T>>,
    /// Everybody who claims an identity; the first one has it.
    known: BTreeMap<EndpointId, BTreeMap<Origin, Endpoint<T>>>,
    changes: VecDeque<Change<T>>,
    has_spoken: bool,
}

impl<T> Merge<T> {
    /// Adds a source. Its endpoints are called `name/id`, so that sources with
    /// names of their own, without a slash in them, never get into each other's
    /// way. Sources of the same name share their identities as with
    /// [`source_as`](Self::source_as).
    pub fn source<D>(self, name: &str, discovery: D) -> Self
    where
        D: Discovery<Target = T> + 'static,
    {
        let name = name.to_owned();
        self.source_as(move |id| format!("{name}/{id}").into(), discovery)
    }

    /// Adds a source whose endpoints are called what `rename` makes of their
    /// identities, which must always be the same.
    ///
    /// Use it where two sources know the same endpoints by the same names. Where
    /// several claim an identity, the source that was added first has it for as
    /// long as it names it; then the next one.
    ///
    /// ```
    /// # use lb_core::discovery;
    /// # let (file, dns) = (discovery::fixed(["10.0.0.1:80"]), discovery::fixed(["10.0.0.1:80"]));
    /// let one = discovery::merge().source_as(Clone::clone, file).source_as(Clone::clone, dns);
    /// # let _ = one;
    /// ```
    pub fn source_as<D>(
        mut self,
        rename: impl Fn(&EndpointId) -> EndpointId + Send + 'static,
        discovery: D,
    ) -> Self
    where
        D: Discovery<Target = T> + 'static,
    {
        self.sources.push(Source {
            changes: Some(Box::pin(discovery)),
            rename: Box::new(rename),
            names: BTreeMap::new(),
        });
        self
    }
}

impl<T> Unpin for Merge<T> {}

impl<T: Clone + PartialEq> Stream for Merge<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Sources that talk without saying anything new must not keep others
        // from the thread.
        for _ in 0..ROUNDS {
            if let Some(change) = this.changes.pop_front() {
                return Poll::Ready(Some(change));
            }
            // One change of each in a round: none can talk the others down.
            let mut heard = false;
            let mut open = false;
            for index in 0..this.sources.len() {
                let source = &mut this.sources[index];
                let Some(changes) = &mut source.changes else { continue };
                match changes.as_mut().poll_next(cx) {
                    Poll::Ready(Some(change)) => {
                        this.apply(index, change);
                        heard = true;
                    }
                    Poll::Ready(None) => source.changes = None,
                    Poll::Pending => open = true,
                }
            }
            let silent = !heard && !open && !this.has_spoken;
            if (heard || silent) && !this.has_spoken {
                this.has_spoken = true;
                this.changes = VecDeque::from([Change::Reset(this.union())]);
            }
            match (heard || silent, open) {
                (true, _) => {}
                (false, true) => return Poll::Pending,
                (false, false) => return Poll::Ready(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Rounds of changes from which nothing follows, after which others get a turn.
const ROUNDS: usize = 64;

impl<T> fmt::Debug for Merge<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("sources", &self.sources.len())
            .field("endpoints", &self.known.len())
            .finish_non_exhaustive()
    }
}

struct Source<T> {
    /// `None` once it has ended.
    changes: Option<Pin<Box<dyn Stream<Item = Change<T>> + Send>>>,
    rename: Box<dyn Fn(&EndpointId) -> EndpointId + Send>,
    /// What its endpoints are called here, by what it calls them.
    names: BTreeMap<EndpointId, EndpointId>,
}

/// Which source, by its position, and what it calls the endpoint itself.
type Origin = (usize, EndpointId);

impl<T: Clone + PartialEq> Merge<T> {
    fn apply(&mut self, source: usize, change: Change<T>) {
        match change {
            Change::Upsert(id, endpoint) => self.upsert(source, id, endpoint),
            Change::Remove(id) => self.remove(source, &id),
            Change::Reset(set) => {
                let mut gone = self.sources[source].names.clone();
                for (id, endpoint) in set {
                    gone.remove(&id);
                    self.upsert(source, id, endpoint);
                }
                // Last, so that the set is at no moment smaller than it should be.
                for id in gone.into_keys() {
                    self.remove(source, &id);
                }
            }
        }
    }

    fn upsert(&mut self, source: usize, id: EndpointId, endpoint: Endpoint<T>) {
        let Source { rename, names, .. } = &mut self.sources[source];
        let name = names.entry(id.clone()).or_insert_with(|| rename(&id)).clone();
        let claims = self.known.entry(name.clone()).or_default();
        let origin = (source, id);
        let before = claims.insert(origin.clone(), endpoint.clone());
        if before.as_ref() != Some(&endpoint)
            && claims.first_key_value().is_some_and(|(first, _)| *first == origin)
        {
            self.changes.push_back(Change::Upsert(name, endpoint));
        }
    }

    fn remove(&mut self, source: usize, id: &EndpointId) {
        let Some(name) = self.sources[source].names.remove(id) else { return };
        let Some(claims) = self.known.get_mut(&name) else { return };
        let origin = (source, id.clone());
        let had_it = claims.first_key_value().is_some_and(|(first, _)| *first == origin);
        claims.remove(&origin);
        let change = match claims.first_key_value() {
            Some((_, next)) => Change::Upsert(name, next.clone()),
            None => {
                self.known.remove(&name);
                Change::Remove(name)
            }
        };
        if had_it {
            self.changes.push_back(change);
        }
    }

    fn union(&self) -> Vec<(EndpointId, Endpoint<T>)> {
        let first = |(id, claims): (&EndpointId, &BTreeMap<Origin, Endpoint<T>>)| {
            claims.first_key_value().map(|(_, endpoint)| (id.clone(), endpoint.clone()))
        };
        self.known.iter().filter_map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Wake, Waker},
    };

    use futures_util::{FutureExt, StreamExt};
    use proptest::prelude::*;

    use super::*;
    use crate::discovery::{Sender, Set, channel, fixed};

    fn pair(id: &str, target: u8) -> (EndpointId, Endpoint<u8>) {
        (id.into(), Endpoint::new(target))
    }

    fn upsert(id: &str, target: u8) -> Change<u8> {
        Change::Upsert(id.into(), Endpoint::new(target))
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn waker() -> (Waker, Arc<Woken>) {
        let woken = Arc::<Woken>::default();
        (Waker::from(Arc::clone(&woken)), woken)
    }

    /// Everything that can be had without waiting.
    fn ready<T: Clone + PartialEq>(merge: &mut Merge<T>) -> Vec<Change<T>> {
        std::iter::from_fn(|| merge.next().now_or_never().flatten()).collect()
    }

    #[tokio::test]
    async fn a_reset_replaces_the_endpoints_of_its_source_only() {
        let ((a, from_a), (b, from_b)) = (channel(), channel());
        let one = merge().source("a", from_a).source("b", from_b);
        let mut merge = merge().source_as(Clone::clone, one);
        assert_eq!(ready(&mut merge), []);

        b.send(Change::Reset(vec![pair("x", 1)])).unwrap();
        assert_eq!(ready(&mut merge), [Change::Reset(vec![pair("b/x", 1)])], "nobody waits for a");
        a.send(Change::Reset(vec![pair("x", 2), pair("y", 3)])).unwrap();
        assert_eq!(ready(&mut merge), [upsert("a/x", 2), upsert("a/y", 3)]);
        a.send(Change::Reset(vec![pair("y", 4)])).unwrap();
        assert_eq!(ready(&mut merge), [upsert("a/y", 4), Change::Remove("a/x".into())]);
    }

    #[tokio::test]
    async fn a_reset_says_what_has_changed_and_no_more() {
        let (a, from_a) = channel();
        let mut merge = merge().source("a", from_a);
        a.send(Change::Reset(vec![pair("x", 1), pair("y", 2)])).unwrap();
        ready(&mut merge);
        a.send(Change::Reset(vec![pair("x", 1), pair("y", 2)])).unwrap();
        assert_eq!(ready(&mut merge), []);
        a.send(Change::Reset(vec![pair("x", 1), pair("y", 3), pair("z", 4)])).unwrap();
        assert_eq!(ready(&mut merge), [upsert("a/y", 3), upsert("a/z", 4)]);
    }

    #[test]
    fn sources_that_repeat_themselves_do_not_keep_the_thread() {
        let repeats = futures_util::stream::repeat(upsert("x", 1));
        let (b, from_b) = channel();
        let mut merge = merge().source("a", repeats).source("b", from_b);
        assert_eq!(ready(&mut merge), [Change::Reset(vec![pair("a/x", 1)])]);
        let (waker, woken) = waker();
        assert!(merge.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
        assert!(woken.0.load(Ordering::Relaxed), "there is more to read");
        b.upsert("y", Endpoint::new(2)).unwrap();
        assert_eq!(ready(&mut merge), [upsert("b/y", 2)], "and others are heard");
    }

    #[tokio::test]
    async fn the_source_added_first_has_an_identity_that_two_claim() {
        let ((a, from_a), (b, from_b)) = (channel(), channel());
        let mut merge = merge().source_as(Clone::clone, from_a).source_as(Clone::clone, from_b);
        b.upsert("x", Endpoint::new(2)).unwrap();
        assert_eq!(ready(&mut merge), [Change::Reset(vec![pair("x", 2)])]);
        a.upsert("x", Endpoint::new(1)).unwrap();
        assert_eq!(ready(&mut merge), [upsert("x", 1)]);
        b.remove("x").unwrap();
        b.upsert("x", Endpoint::new(3)).unwrap();
        assert_eq!(ready(&mut merge), []);
        a.remove("x").unwrap();
        assert_eq!(ready(&mut merge), [upsert("x", 3)]);
        b.remove("x").unwrap();
        assert_eq!(ready(&mut merge), [Change::Remove("x".into())]);
    }

    #[tokio::test]
    async fn ends_when_all_have_ended() {
        let (sender, changes) = channel();
        let mut merge = merge().source("fixed", fixed(["1"])).source("later", changes);
        let first = ("fixed/1".into(), Endpoint::new("1"));
        assert_eq!(ready(&mut merge), [Change::Reset(vec![first])]);
        assert_eq!(merge.next().now_or_never(), None, "one is still open");
        drop(sender);
        assert_eq!(merge.next().await, None);
        assert_eq!(merge.next().await, None);
    }

    #[tokio::test]
    async fn sources_that_never_speak_and_none_at_all_are_an_empty_set() {
        let (_, mute) = channel::<u8>();
        for merge in [merge(), merge().source("mute", mute)] {
            assert_eq!(merge.collect::<Vec<_>>().now_or_never(), Some(vec![Change::Reset(vec![])]));
        }
    }

    fn change() -> impl Strategy<Value = Change<u8>> {
        let id = || prop::sample::select(vec!["x", "y", "z", "xx"]).prop_map(EndpointId::from);
        let endpoint = || any::<u8>().prop_map(Endpoint::new);
        prop_oneof![
            1 => prop::collection::vec((id(), endpoint()), 0..4).prop_map(Change::Reset),
            2 => (id(), endpoint()).prop_map(|(id, endpoint)| Change::Upsert(id, endpoint)),
            2 => id().prop_map(Change::Remove),
        ]
    }

    /// Names of their own, names that several sources share, and even names
    /// that a source gives to several of its endpoints.
    fn rename(source: usize, id: &EndpointId) -> EndpointId {
        match source {
            0 => format!("own/{id}").into(),
            1 | 2 => id.clone(),
            _ => id.as_str()[..1].into(),
        }
    }

    proptest! {
        #[test]
        fn what_is_replayed_is_the_union(
            rounds in prop::collection::vec(
                prop::collection::vec((0..4_usize, change()), 1..6), 0..12,
            )
        ) {
            let mut merge = merge();
            let mut senders: Vec<Sender<u8>> = Vec::new();
            for source in 0..4 {
                let (sender, changes) = channel();
                senders.push(sender);
                merge = merge.source_as(move |id| rename(source, id), changes);
            }
            let mut sources = vec![Set::new(); 4];
            let mut replayed = Set::new();
            for round in rounds {
                for (source, change) in round {
                    senders[source].send(change.clone()).unwrap();
                    sources[source].apply(change);
                }
                ready(&mut merge).into_iter().for_each(|change| replayed.apply(change));
                let all = sources.iter().enumerate().rev().flat_map(|(source, set)| {
                    let named = set.iter().map(move |(id, e)| (rename(source, id), e.clone()));
                    named.collect::<Vec<_>>().into_iter().rev()
                });
                prop_assert_eq!(&replayed, &all.collect::<Set<_>>());
            }
        }
    }
}
