use std::{collections::HashMap, sync::Arc, time::SystemTime};

use crate::{
    endpoint::{EndpointId, State},
    registry::Plan,
};

/// Since when sources and operators say of each endpoint what they say. What is found
/// out of it here is dated by its [`Upstream`](super::upstream::Upstream).
pub(super) type Since = HashMap<EndpointId, SystemTime>;

/// Dates what plans say.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    said: HashMap<EndpointId, Said>,
    since: Arc<Since>,
}

/// What decides whether an endpoint is to get requests.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    state: State,
    drained: bool,
    weightless: bool,
    /// Whether a service includes it.
    routed: bool,
}

impl Calendar {
    /// The dates of all that this plan says, as of `now` where that is new.
    pub(super) fn record(&mut self, plan: &Plan, now: SystemTime) -> Arc<Since> {
        let routed = plan.services.iter().flat_map(|service| &service.endpoints).map(|one| {
            let said = Said {
                state: one.state.clone(),
                drained: one.drained,
                weightless: one.weight == 0,
                routed: true,
            };
            (&one.id, said)
        });
        let unrouted = plan.unrouted.iter().map(|one| {
            let state = one.state.clone();
            (&one.id, Said { state, drained: false, weightless: false, routed: false })
        });
        // Of two that claim one identity the routed one counts.
        let said: HashMap<_, _> =
            unrouted.chain(routed).map(|(id, said)| (id.clone(), said)).collect();
        if said != self.said {
            let date = |(id, what): (&EndpointId, &Said)| {
                let before = self.since.get(id).filter(|_| self.said.get(id) == Some(what));
                (id.clone(), before.copied().unwrap_or(now))
            };
            self.since = Arc::new(said.iter().map(date).collect());
            self.said = said;
        }
        Arc::clone(&self.since)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::{PlannedEndpoint, PlannedService, Transport};

    fn plan(endpoints: &[(&'static str, State, bool)]) -> Plan {
        let endpoint = |(id, state, drained): &(&'static str, State, bool)| PlannedEndpoint {
            id: (*id).into(),
            source: "test".into(),
            name: (*id).into(),
            address: None,
            transport: Transport::default(),
            weight: 1,
            state: state.clone(),
            drained: *drained,
            problems: Vec::new(),
        };
        let service = PlannedService {
            host: "a".parse().unwrap(),
            algorithm: None,
            slow_start: None,
            https: crate::registry::Https::default(),
            endpoints: endpoints.iter().map(endpoint).collect(),
        };
        Plan { services: vec![service], ..Plan::default() }
    }

    #[test]
    fn a_date_stays_while_the_same_is_said() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut calendar = Calendar::default();
        let since = calendar.record(&plan(&[("1", State::Active, false)]), at(1));
        assert_eq!(since[&"1".into()], at(1));
        let two = [("1", State::Active, false), ("2", State::Active, false)];
        let since = calendar.record(&plan(&two), at(2));
        assert_eq!((since[&"1".into()], since[&"2".into()]), (at(1), at(2)));
        let drained = [("1", State::Active, true), ("2", State::Down("paused".into()), false)];
        let since = calendar.record(&plan(&drained), at(3));
        assert_eq!((since[&"1".into()], since[&"2".into()]), (at(3), at(3)));
        let since = calendar.record(&plan(&drained[1..]), at(4));
        assert_eq!((since.len(), since[&"2".into()]), (1, at(3)), "who is gone is forgotten");
    }
}
