//! From SRV records (RFC 2782) and the addresses of their targets to endpoints.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::proto::rr::{Name, rdata::SRV};

use crate::endpoint::Endpoint;

/// The endpoints that the records come to. A target without addresses adds
/// none.
pub(super) fn endpoints(
    records: &[SRV],
    addresses: &HashMap<Name, Vec<IpAddr>>,
) -> BTreeMap<SocketAddr, Endpoint<SocketAddr>> {
    let addresses_of = |record: &SRV| addresses.get(&record.target).map_or(&[][..], Vec::as_slice);
    let mut scales: HashMap<u16, u64> = HashMap::new();
    for record in records {
        let scale = scales.entry(record.priority).or_insert(1);
        *scale = common_multiple(*scale, addresses_of(record).len() as u64).min(FINEST_SCALE);
    }
    let mut endpoints: BTreeMap<SocketAddr, Endpoint<SocketAddr>> = BTreeMap::new();
    for record in records {
        let found = addresses_of(record);
        let scale = scales.get(&record.priority).copied().unwrap_or(1);
        for ip in found {
            let share = u64::from(record.weight.max(1)) * scale / found.len() as u64;
            let share = u32::try_from(share.max(1)).unwrap_or(u32::MAX);
            let address = SocketAddr::new(*ip, record.port);
            let priority = u32::from(record.priority);
            let endpoint = Endpoint::new(address).weight(share).priority(priority);
            match endpoints.entry(address) {
                Entry::Vacant(entry) => {
                    entry.insert(endpoint);
                }
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    if priority < known.priority {
                        *known = endpoint;
                    } else if priority == known.priority {
                        known.weight = known.weight.saturating_add(share);
                    }
                }
            }
        }
    }
    endpoints
}

/// A weight is shared by the addresses of its target, so weights are scaled
/// until that leaves whole numbers. Beyond this a fraction doesn't matter.
const FINEST_SCALE: u64 = 1000;

fn common_multiple(a: u64, b: u64) -> u64 {
    fn common_divisor(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { common_divisor(b, a % b) }
    }
    if b == 0 { a } else { a / common_divisor(a, b) * b }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records of priority, weight, port and target `0.`, `1.` …; and for each
    /// target the last bytes of its addresses.
    fn found(records: &[(u16, u16, u16, usize)], targets: &[&[u8]]) -> Vec<(String, u32, u32)> {
        let name = |target: usize| Name::from_ascii(format!("{target}.")).unwrap();
        let records: Vec<SRV> = records
            .iter()
            .map(|&(priority, weight, port, target)| SRV::new(priority, weight, port, name(target)))
            .collect();
        let ip = |last: &u8| IpAddr::from([10, 0, 0, *last]);
        let addresses = targets.iter().enumerate();
        let addresses =
            addresses.map(|(target, last)| (name(target), last.iter().map(ip).collect())).collect();
        endpoints(&records, &addresses)
            .into_values()
            .map(|endpoint| (endpoint.target.to_string(), endpoint.priority, endpoint.weight))
            .collect()
    }

    fn endpoint(last: u8, priority: u32, weight: u32) -> (String, u32, u32) {
        (format!("10.0.0.{last}:80"), priority, weight)
    }

    #[test]
    fn weights_and_priorities_are_kept() {
        assert_eq!(
            found(&[(10, 60, 80, 0), (10, 20, 80, 1), (20, 5, 80, 2)], &[&[1], &[2], &[3]]),
            [endpoint(1, 10, 60), endpoint(2, 10, 20), endpoint(3, 20, 5)],
        );
    }

    #[test]
    fn a_weight_of_zero_is_the_smallest() {
        assert_eq!(
            found(&[(0, 0, 80, 0), (0, 9, 80, 1)], &[&[1], &[2]]),
            [endpoint(1, 0, 1), endpoint(2, 0, 9)],
        );
    }

    #[test]
    fn the_addresses_of_a_target_share_its_weight() {
        // A target counts as its record says, however many addresses it has.
        assert_eq!(
            found(&[(0, 10, 80, 0), (0, 10, 80, 1)], &[&[1, 2], &[3]]),
            [endpoint(1, 0, 10), endpoint(2, 0, 10), endpoint(3, 0, 20)],
        );
        // Where all have as many, the numbers stay.
        assert_eq!(
            found(&[(0, 3, 80, 0), (0, 1, 80, 1)], &[&[1, 2], &[3, 4]]),
            [endpoint(1, 0, 3), endpoint(2, 0, 3), endpoint(3, 0, 1), endpoint(4, 0, 1)],
        );
    }

    #[test]
    fn an_address_named_twice_is_one_endpoint() {
        let targets: &[&[u8]] = &[&[1], &[1]];
        assert_eq!(found(&[(0, 2, 80, 0), (0, 3, 80, 1)], targets), [endpoint(1, 0, 5)]);
        assert_eq!(found(&[(1, 2, 80, 0), (0, 3, 80, 1)], targets), [endpoint(1, 0, 3)]);
        assert_eq!(found(&[(0, 3, 80, 0), (1, 2, 80, 1)], targets), [endpoint(1, 0, 3)]);
    }

    #[test]
    fn a_target_without_an_address_adds_none() {
        assert_eq!(
            found(&[(0, 1, 80, 0), (0, 1, 80, 1), (0, 1, 80, 7)], &[&[1], &[]]),
            [endpoint(1, 0, 1)]
        );
    }

    proptest! {
        #[test]
        fn targets_get_what_their_records_say(
            targets in prop::collection::vec((1..500_u16, 1..6_usize), 1..6)
        ) {
            let mut next = 0_u8;
            let lists: Vec<Vec<u8>> = targets
                .iter()
                .map(|(_, addresses)| (0..*addresses).map(|_| { next += 1; next }).collect())
                .collect();
            let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
            let records: Vec<_> = targets
                .iter()
                .enumerate()
                .map(|(target, (weight, _))| (0, *weight, 80, target))
                .collect();
            let weights: HashMap<_, _> =
                found(&records, &lists).into_iter().map(|(name, _, weight)| (name, weight)).collect();
            let share = |target: usize| -> u32 {
                lists[target].iter().map(|last| weights[&endpoint(*last, 0, 0).0]).sum()
            };
            for target in 0..targets.len() {
                // share / share(0) is weight / weight(0)
                prop_assert_eq!(
                    share(target) * u32::from(targets[0].0), share(0) * u32::from(targets[target].0)
                );
            }
        }
    }
}
