use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{HostPattern, Plan, PlannedService};

/// Hosts that stay known for a while after their last instance is gone.
///
/// A container that is made anew is gone for half a second: its host must not go
/// with it, or requests would be told that nobody answers for it, or be answered
/// by whoever has the wildcard.
#[derive(Debug, Default)]
pub struct Lingering {
    /// As they were when last planned with instances.
    present: BTreeMap<HostPattern, PlannedService>,
    gone: BTreeMap<HostPattern, (Instant, PlannedService)>,
}

impl Lingering {
    /// Adds to a new `plan`, without endpoints, the services that lost their last
    /// one less than `limit` ago.
    pub fn extend(&mut self, plan: &mut Plan, now: Instant, limit: Duration) {
        let planned = plan.services.iter();
        let planned = planned.map(|service| {
            let empty = PlannedService { endpoints: Vec::new(), ..service.clone() };
            (service.host.clone(), empty)
        });
        let before = std::mem::replace(&mut self.present, planned.collect());
        let lost = before.into_iter().filter(|(host, _)| !self.present.contains_key(host));
        self.gone.extend(lost.filter_map(|(host, service)| {
            let until = now.checked_add(limit)?;
            Some((host, (until, service)))
        }));
        let present = &self.present;
        self.gone.retain(|host, (until, _)| *until > now && !present.contains_key(host));
        if !self.gone.is_empty() {
            plan.services.extend(self.gone.values().map(|(_, service)| service.clone()));
            plan.services.sort_by(|a, b| a.host.cmp(&b.host));
        }
    }

    /// When the next of them is to be forgotten.
    pub fn next_end(&self) -> Option<Instant> {
        self.gone.values().map(|(until, _)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(hosts: &[&str]) -> Plan {
        let service = |host: &&str| PlannedService {
            host: host.parse().unwrap(),
            algorithm: None,
            slow_start: None,
            https: crate::registry::Https::default(),
            endpoints: Vec::new(),
        };
        Plan { services: hosts.iter().map(service).collect(), ..Plan::default() }
    }

    #[test]
    fn a_host_stays_for_a_while_and_returns_as_if_it_had_not_been_gone() {
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        let mut lingering = Lingering::default();
        let mut hosts = |planned: &[&str], seconds: u64| {
            let mut plan = plan(planned);
            lingering.extend(&mut plan, start + Duration::from_secs(seconds), limit);
            let hosts: Vec<_> = plan.services.iter().map(|s| s.host.to_string()).collect();
            (hosts.join(" "), lingering.next_end().map(|end| (end - start).as_secs()))
        };
        assert_eq!(hosts(&["a", "b"], 0), ("a b".into(), None));
        assert_eq!(hosts(&["b"], 1), ("a b".into(), Some(11)));
        assert_eq!(hosts(&[], 4), ("a b".into(), Some(11)));
        assert_eq!(hosts(&["a"], 5), ("a b".into(), Some(14)));
        assert_eq!(hosts(&[], 6), ("a b".into(), Some(14)));
        assert_eq!(hosts(&[], 14), ("a".into(), Some(16)));
        assert_eq!(hosts(&[], 16), (String::new(), None));
    }

    #[test]
    fn with_no_limit_to_wait_it_is_gone_at_once() {
        let mut lingering = Lingering::default();
        let now = Instant::now();
        lingering.extend(&mut plan(&["a"]), now, Duration::ZERO);
        let mut after = plan(&[]);
        lingering.extend(&mut after, now, Duration::ZERO);
        assert!(after.services.is_empty());
    }
}
