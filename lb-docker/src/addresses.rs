use std::{
    collections::HashSet,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use lb_core::{
    discovery::Change,
    endpoint::{Endpoint, EndpointId},
    registry::{HostPattern, Registration},
};

use crate::DockerDiscovery;

impl DockerDiscovery {
    /// The containers that ask for this host, by their addresses: what a client
    /// takes that balances its own calls.
    ///
    /// A container belongs to it that names exactly this host; `*.example.com`
    /// is another one than `a.example.com`. While it has no address, as between
    /// two starts, it is not part of the set. Weights and states are passed on;
    /// the algorithm that a container asks for is not.
    pub fn addresses_of(self, host: HostPattern) -> Addresses {
        Addresses { containers: self, host, known: HashSet::new() }
    }
}

/// The discovery returned by [`DockerDiscovery::addresses_of`].
#[derive(Debug)]
#[must_use = "discovery ends when its stream is dropped"]
pub struct Addresses {
    containers: DockerDiscovery,
    host: HostPattern,
    known: HashSet<EndpointId>,
}

impl Stream for Addresses {
    type Item = Change<SocketAddr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { containers, host, known } = &mut *self;
        loop {
            let Some(change) = ready!(Pin::new(&mut *containers).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(change) = translate(change, host, known) {
                return Poll::Ready(Some(change));
            }
        }
    }
}

/// What a change means for this host, if anything.
fn translate(
    change: Change<Registration>,
    host: &HostPattern,
    known: &mut HashSet<EndpointId>,
) -> Option<Change<SocketAddr>> {
    match change {
        Change::Reset(all) => {
            let ours = |(id, endpoint)| Some((id, at(host, &endpoint)?));
            let all: Vec<_> = all.into_iter().filter_map(ours).collect();
            *known = all.iter().map(|(id, _)| id.clone()).collect();
            Some(Change::Reset(all))
        }
        Change::Upsert(id, endpoint) => match at(host, &endpoint) {
            Some(endpoint) => {
                known.insert(id.clone());
                Some(Change::Upsert(id, endpoint))
            }
            None => known.remove(&id).then_some(Change::Remove(id)),
        },
        Change::Remove(id) => known.remove(&id).then_some(Change::Remove(id)),
    }
}

fn at(host: &HostPattern, endpoint: &Endpoint<Registration>) -> Option<Endpoint<SocketAddr>> {
    let binding = endpoint.target.bindings.iter().find(|binding| binding.host == *host)?;
    Some(endpoint.with(binding.address?))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use lb_core::{endpoint::State, registry::Binding};

    use super::*;

    fn container(bindings: &[(&str, Option<&str>)]) -> Endpoint<Registration> {
        let bindings = bindings.iter().map(|(host, address)| {
            let address = address.map(|address| address.parse().unwrap());
            Binding::new(host.parse().unwrap(), address)
        });
        Endpoint::new(Registration {
            name: "app".into(),
            created: SystemTime::UNIX_EPOCH,
            bindings: bindings.collect(),
            problems: vec![],
        })
    }

    fn ours(address: &str) -> Endpoint<Registration> {
        container(&[("other.test", Some("10.0.0.9:9")), ("app.test", Some(address))])
    }

    fn address(address: &str) -> Endpoint<SocketAddr> {
        Endpoint::new(address.parse().unwrap())
    }

    /// What becomes of these changes, seen from `app.test`.
    fn translated(
        changes: impl IntoIterator<Item = Change<Registration>>,
    ) -> Vec<Change<SocketAddr>> {
        let (host, mut known) = ("App.test".parse().unwrap(), HashSet::new());
        let changes = changes.into_iter();
        changes.filter_map(|change| translate(change, &host, &mut known)).collect()
    }

    #[test]
    fn a_set_is_those_that_name_the_host_and_have_an_address() {
        let set = vec![
            ("1".into(), ours("10.0.0.1:80").weight(3).state(State::Draining)),
            ("2".into(), container(&[("app.test", None)])),
            ("3".into(), container(&[("*.test", Some("10.0.0.3:80"))])),
            ("4".into(), container(&[])),
        ];
        let expected = address("10.0.0.1:80").weight(3).state(State::Draining);
        assert_eq!(translated([Change::Reset(set)]), [Change::Reset(vec![("1".into(), expected)])]);
        assert_eq!(translated([Change::Reset(vec![])]), [Change::Reset(vec![])], "a word, too");
    }

    #[test]
    fn who_loses_his_address_leaves_and_comes_back() {
        let changes = [
            Change::Upsert("1".into(), ours("10.0.0.1:80")),
            Change::Upsert("1".into(), container(&[("app.test", None)])),
            Change::Upsert("1".into(), ours("10.0.0.2:80")),
            Change::Remove("1".into()),
        ];
        let expected = [
            Change::Upsert("1".into(), address("10.0.0.1:80")),
            Change::Remove("1".into()),
            Change::Upsert("1".into(), address("10.0.0.2:80")),
            Change::Remove("1".into()),
        ];
        assert_eq!(translated(changes), expected);
    }

    #[test]
    fn what_becomes_of_others_is_not_told() {
        let other = || container(&[("other.test", Some("10.0.0.1:80"))]);
        let changes = [
            Change::Upsert("2".into(), other()),
            Change::Upsert("2".into(), other().weight(2)),
            Change::Remove("2".into()),
        ];
        assert_eq!(translated(changes), []);
        // Those of an earlier set are known, those that a later one left out are not.
        let set = |id: &str| Change::Reset(vec![(id.into(), ours("10.0.0.1:80"))]);
        let changes = [set("1"), set("2"), Change::Remove("1".into()), Change::Remove("2".into())];
        assert_eq!(translated(changes).last(), Some(&Change::Remove("2".into())));
        let changes = [set("1"), set("2"), Change::Remove("1".into())];
        assert_eq!(translated(changes).len(), 2);
    }
}
