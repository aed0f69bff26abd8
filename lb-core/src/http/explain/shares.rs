//! Which part of a service's requests each of its endpoints is given.

use crate::{
    balance::{Algorithm, Member, PickContext, hash},
    endpoint::EndpointId,
    http::table::{Service, Target, is_wanted},
};

/// What the parts are reckoned by, and so how far they can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Basis {
    /// Each has its turns: of many requests they are just that.
    Turns,
    /// They are drawn: of many requests they are about that.
    Draws,
    /// Those that are less busy or quicker are given more: it would be that if all were
    /// alike.
    Load,
    /// Of all keys, whatever the requests are like: each key has one endpoint.
    Keys,
    /// Nobody is ready, and one of those that are left alone is better than none.
    LastResort,
}

impl Basis {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turns => "turns",
            Self::Draws => "draws",
            Self::Load => "load",
            Self::Keys => "keys",
            Self::LastResort => "last_resort",
        }
    }

    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RoundRobin | Algorithm::WeightedRoundRobin => Self::Turns,
            Algorithm::Random | Algorithm::WeightedRandom => Self::Draws,
            Algorithm::LeastRequest | Algorithm::FullScan | Algorithm::PeakEwma => Self::Load,
            Algorithm::RingHash | Algorithm::Maglev | Algorithm::Rendezvous => Self::Keys,
        }
    }
}

/// The parts of a service's endpoints, as they are now.
pub(super) struct Shares {
    pub(super) basis: Basis,
    /// From 0 to 1, by the place of the member. Their sum is 1, or 0 if nobody gets any.
    pub(super) parts: Vec<f64>,
}

/// Keys that are tried out to see who gets how many: enough for half a percent.
const KEYS: u32 = 8192;

impl Shares {
    pub(super) fn of(service: &Service) -> Self {
        let members = service.cluster.members();
        let mut basis = Basis::of(service.algorithm);
        let weight = |member: &Member<Target>| {
            let weight = if service.algorithm.weighs() { member.endpoint.weight } else { 1 };
            f64::from(weight)
        };
        let ready = |member: &Member<Target>| member.endpoint.weight > 0 && member.load.is_ready();
        let on_trial = |member: &Member<Target>| member.endpoint.target.upstream.is_on_trial();
        let parts = if !service.cluster.is_ready() {
            basis = Basis::LastResort;
            members.iter().map(|one| f64::from(u8::from(is_wanted(one)))).collect()
        } else if basis == Basis::Keys {
            let mut counts = vec![0.0; members.len()];
            for key in 0..KEYS {
                if let Some(owner) = owner(service, hash::of(&key.to_le_bytes())) {
                    counts[owner.place] += 1.0;
                }
            }
            counts
        } else {
            // One that is tried gets single requests, unless there is nobody else.
            let others = members.iter().any(|one| ready(one) && !on_trial(one));
            let part = |one: &Member<Target>| {
                if !ready(one) || others && on_trial(one) {
                    return 0.0;
                }
                weight(one) * f64::from(one.load.share()) / f64::from(crate::load::FULL_SHARE)
            };
            members.iter().map(part).collect::<Vec<_>>()
        };
        Self { basis, parts: normal(parts) }
    }
}

/// Who gets the requests of one key.
pub(super) struct Owner {
    /// Its place among the members.
    pub(super) place: usize,
    /// Who is tried with one of them at a time, and else would be the owner.
    pub(super) tried: Option<EndpointId>,
}

/// Who gets the requests of this key, by an algorithm that hashes: what
/// [`forward`](crate::http::forward) comes to that has tried nobody yet.
pub(super) fn owner(service: &Service, key: u64) -> Option<Owner> {
    let cx = PickContext::new().hash(Some(key));
    let members = service.cluster.members();
    let on_trial = |place: usize| members[place].endpoint.target.upstream.is_on_trial();
    let first = service.cluster.owner(&cx)?;
    if !on_trial(first) {
        return Some(Owner { place: first, tried: None });
    }
    let mut avoid = vec![members[first].id.clone()];
    while let Some(other) = service.cluster.owner(&cx.avoid(&avoid)) {
        if !on_trial(other) {
            return Some(Owner { place: other, tried: Some(members[first].id.clone()) });
        }
        avoid.push(members[other].id.clone());
    }
    Some(Owner { place: first, tried: None })
}

fn normal(parts: Vec<f64>) -> Vec<f64> {
    let sum: f64 = parts.iter().sum();
    if sum > 0.0 { parts.into_iter().map(|part| part / sum).collect() } else { parts }
}
