//! Asks again and again, and keeps what was good.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use hickory_resolver::proto::rr::Name;
use tokio::time;

use super::{
    Options, Question,
    resolver::{Answer, Resolver},
    services,
};
use crate::{
    discovery::{Change, Reporter, Sender},
    endpoint::{Endpoint, EndpointId},
};

/// Follows what the options ask for, until nobody reads the changes.
pub(super) async fn run(options: Options, reporter: Reporter, changes: Sender<SocketAddr>) {
    let mut memory = Memory::default();
    let mut backoff = Backoff::new(options.ttl);
    let mut resolver = None;
    loop {
        let round = round(&mut resolver, &options, &mut memory).await;
        if let Some(set) = round.set
            && memory.set.as_ref() != Some(&set)
        {
            tracing::debug!(question = ?options.question, ?set, "found");
            if changes.send(Change::Reset(set.clone())).is_err() {
                return;
            }
            memory.set = Some(set);
            reporter.given_out();
        }
        let pause = match round.trouble {
            None => {
                if reporter.confirmed() {
                    tracing::info!(question = ?options.question, "DNS answers again");
                }
                backoff.reset();
                round.ttl.clamp(options.ttl.0, options.ttl.1)
            }
            Some(error) => {
                if reporter.trouble(&error) {
                    tracing::warn!(error, "DNS; what is known stays in force");
                }
                // The system's configuration may be what has changed.
                resolver = None;
                backoff.next()
            }
        };
        time::sleep(pause).await;
    }
}

type Set = Vec<(EndpointId, Endpoint<SocketAddr>)>;

/// What was found out last.
#[derive(Default)]
struct Memory {
    set: Option<Set>,
    /// The addresses of the targets that services name.
    targets: HashMap<Name, Vec<IpAddr>>,
}

/// What one round of questions came to.
struct Round {
    /// What there is now, if that could be found out; with trouble, as far as
    /// it is known.
    set: Option<Set>,
    ttl: Duration,
    trouble: Option<String>,
}

impl Round {
    fn failed(trouble: String) -> Self {
        Self { set: None, ttl: Duration::ZERO, trouble: Some(trouble) }
    }
}

async fn round(resolver: &mut Option<Resolver>, options: &Options, memory: &mut Memory) -> Round {
    let resolver = match resolver {
        Some(resolver) => resolver,
        None => match Resolver::new(options).await {
            Ok(new) => resolver.insert(new),
            Err(error) => return Round::failed(error),
        },
    };
    resolver.forget().await;
    match &options.question {
        Question::Addresses(name, port) => match resolver.addresses(name, options.family).await {
            Err(error) => Round::failed(error),
            Ok(answer) if answer.records.is_empty() => {
                Round::failed(format!("{name} has no address; is the name right?"))
            }
            Ok(answer) => {
                let addresses: BTreeSet<_> =
                    answer.records.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
                let set = addresses.into_iter().map(|address| named(Endpoint::new(address)));
                Round { set: Some(set.collect()), ttl: answer.ttl, trouble: None }
            }
        },
        Question::Services(name) => match resolver.services(name).await {
            Err(error) => Round::failed(error),
            Ok(answer) if answer.records.is_empty() => {
                Round::failed(format!("{name} lists no service; is the name right?"))
            }
            Ok(answer) => targets(resolver, options, memory, answer).await,
        },
    }
}

/// Targets that are asked for at once.
const AT_ONCE: usize = 16;

/// Finds out where the services are. A target that can't be found out is where
/// it was.
async fn targets(
    resolver: &Resolver,
    options: &Options,
    memory: &mut Memory,
    services: Answer<hickory_resolver::proto::rr::rdata::SRV>,
) -> Round {
    let Answer { mut records, mut ttl } = services;
    records.retain(|record| !record.target.is_root());
    if records.is_empty() {
        return Round { set: Some(Vec::new()), ttl, trouble: None };
    }
    let mut trouble = None;
    if let Some(record) = records.iter().find(|record| record.port == 0) {
        trouble = Some(format!("port=\"0\" of {}: write the port of the service", record.target));
        records.retain(|record| record.port != 0);
    }
    let names: BTreeSet<_> = records.iter().map(|record| record.target.clone()).collect();
    let mut answers = stream::iter(names)
        .map(|name| async move { (resolver.addresses(&name, options.family).await, name) })
        .buffer_unordered(AT_ONCE);
    let mut found = HashMap::new();
    while let Some((answer, name)) = answers.next().await {
        let error = match answer {
            Ok(answer) if !answer.records.is_empty() => {
                ttl = ttl.min(answer.ttl);
                found.insert(name, answer.records);
                continue;
            }
            Ok(_) => format!("the target {name} has no address"),
            Err(error) => error,
        };
        if let Some(known) = memory.targets.remove(&name) {
            found.insert(name, known);
        }
        // The first by name, so that it is the same each time.
        trouble = Some(trouble.map_or(error.clone(), |other: String| other.min(error)));
    }
    let set: Set = services::endpoints(&records, &found).into_values().map(named).collect();
    memory.targets = found;
    Round { set: (!set.is_empty()).then_some(set), ttl, trouble }
}

fn named(endpoint: Endpoint<SocketAddr>) -> (EndpointId, Endpoint<SocketAddr>) {
    (endpoint.target.to_string().into(), endpoint)
}

/// The pauses between failures: each twice the one before, up to half a minute.
struct Backoff {
    first: Duration,
    longest: Duration,
    pause: Duration,
}

const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

impl Backoff {
    fn new((least, most): (Duration, Duration)) -> Self {
        Self { first: least, longest: LONGEST_BACKOFF.clamp(least, most), pause: least }
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.longest);
        // Half of it is chance, so that many balancers don't come as one.
        let secs = pause.as_secs_f64() * (0.75 + 0.5 * fastrand::f64());
        Duration::try_from_secs_f64(secs).unwrap_or(pause)
    }

    fn reset(&mut self) {
        self.pause = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new((second, second * 300));
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let pause = backoff.next().as_secs_f64() / expected;
            assert!((0.75..=1.25).contains(&pause), "{pause} of {expected}");
        }
        let pauses: BTreeSet<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(pauses.len() > 1);
        backoff.reset();
        assert!(backoff.next() < second * 3 / 2);
    }

    #[test]
    fn bounds_without_end_are_no_panic() {
        let mut never = Backoff::new((Duration::MAX, Duration::MAX));
        (0..100).for_each(|_| assert!(never.next() >= Duration::MAX / 2));
        let mut seldom = Backoff::new((Duration::from_millis(10), Duration::MAX));
        (0..100).for_each(|_| assert!(seldom.next() < LONGEST_BACKOFF * 2));
    }

    #[test]
    fn pauses_stay_within_the_bounds_of_answers() {
        let hour = Duration::from_secs(3600);
        let mut rare = Backoff::new((hour, hour * 2));
        assert!(rare.next() >= hour / 2);
        assert!(rare.next() <= hour * 2);
        let mut often = Backoff::new((hour / 3600, hour / 1800));
        (0..5).for_each(|_| assert!(often.next() <= hour / 1000));
    }
}
