//! What is to be done when: a machine that is given the time, and what has become of
//! what it asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use super::{Account, HostReport, State, Validity, host};

/// How many orders are on their way at most, and how many questions.
const AT_ONCE: usize = 4;

/// After the first failure, and at most; each time four times as long. So it is
/// four times within the first hour: Let's Encrypt allows five failures.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// A server that asks for more than this is asked again all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Between two questions about when to renew, unless the server says otherwise, and
/// at least.
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
const ASK_AGAIN_AT_LEAST: Duration = Duration::from_secs(60);

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    OpenAccount,
    /// An order, after so many that have failed.
    Order {
        host: String,
        failures: u32,
    },
    /// The server is asked when it wants its certificate for this host to be renewed.
    AskRenewal {
        host: String,
    },
}

/// What there is for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Ours(Certificate),
    /// Something that isn't ours.
    Foreign(String),
    Unreadable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// Whether it is from the server that is asked now.
    pub(super) current: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// The server's wish.
    pub(super) retry_after: Option<SystemTime>,
    /// The server doesn't know the account any more.
    pub(super) account_lost: bool,
}

/// When a server wants a certificate to be renewed (RFC 9773).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    /// When to ask again.
    pub(super) ask_after: Duration,
}

pub(super) struct Plan {
    /// Whether the server can't issue certificates but for public hosts.
    public: bool,
    account: Account,
    account_failures: u32,
    hosts: BTreeMap<String, Host>,
    /// Those that have left after a failure, or while they were ordered for: who comes
    /// and goes isn't ordered for any sooner.
    left: BTreeMap<String, Host>,
    /// Orders on their way, also of hosts that have left since.
    ordering: BTreeSet<String>,
    asking: BTreeSet<String>,
    /// Whether the server says when to renew.
    is_asked: bool,
    /// What the time was last.
    last: SystemTime,
}

struct Host {
    refused: Option<String>,
    /// What there is, once that is known.
    found: Option<Found>,
    since: SystemTime,
    failures: u32,
    failed: Option<Failed>,
    /// When the server wants it to be renewed, as far as it said.
    wished: Option<SystemTime>,
    ask_at: SystemTime,
}

struct Failed {
    why: String,
    next_try: SystemTime,
}

impl Plan {
    pub(super) fn new(public: bool) -> Self {
        Self {
            public,
            account: Account::None,
            account_failures: 0,
            hosts: BTreeMap::new(),
            left: BTreeMap::new(),
            ordering: BTreeSet::new(),
            asking: BTreeSet::new(),
            is_asked: true,
            last: SystemTime::UNIX_EPOCH,
        }
    }

    /// These hosts are to have certificates, and no others.
    pub(super) fn set_hosts<'a>(
        &mut self,
        hosts: impl IntoIterator<Item = &'a String>,
        now: SystemTime,
    ) {
        let mut known = std::mem::take(&mut self.hosts);
        known.append(&mut self.left);
        for name in hosts.into_iter().map(|host| host::normal(host)) {
            let refused = || host::refusal(&name, self.public);
            let host = known.remove(&name).unwrap_or_else(|| Host::new(refused(), now));
            self.hosts.entry(name).or_insert(host);
        }
        let forgotten = now - LONGEST_PAUSE;
        let failed = |host: &Host| host.failed.as_ref().is_some_and(|of| of.next_try > forgotten);
        known.retain(|name, host| failed(host) || self.ordering.contains(name));
        self.left = known;
    }

    /// The hosts whose files are of interest.
    pub(super) fn wanted(&self) -> Vec<String> {
        let wanted = self.hosts.iter().filter(|(_, host)| host.refused.is_none());
        wanted.map(|(name, _)| name.clone()).collect()
    }

    /// Whether files couldn't be read, and are to be tried again soon.
    pub(super) fn is_unreadable(&self) -> bool {
        let unreadable = |host: &Host| matches!(host.found, Some(Found::Unreadable(_)));
        self.hosts.values().any(unreadable)
    }

    /// What there is for a host, as its files say. Those of one that is being ordered
    /// are about to change, and are told when that is done.
    pub(super) fn found(&mut self, name: &str, found: Found, now: SystemTime) {
        if let Some(host) = self.hosts.get_mut(name)
            && !self.ordering.contains(name)
        {
            host.set(found, now);
        }
    }

    /// What is to be done now, and counts as begun. Ask until there is nothing.
    pub(super) fn next(&mut self, now: SystemTime) -> Option<Action> {
        if now < self.last {
            self.clock_was_ahead(now);
        }
        self.last = now;
        let is_now = |(at, _): &(SystemTime, &str)| *at <= now;
        let order = self.orders().min().filter(is_now).map(|(_, name)| name.to_owned());
        let question = self.questions().min().filter(is_now).map(|(_, name)| name.to_owned());
        match self.account {
            _ if order.is_none() && question.is_none() => return None,
            Account::Opening => return None,
            Account::Failed { next_try, .. } if now < next_try => return None,
            Account::None | Account::Failed { .. } => {
                self.account = Account::Opening;
                return Some(Action::OpenAccount);
            }
            Account::Open { .. } => {}
        }
        if let Some(host) = order {
            self.ordering.insert(host.clone());
            let failures = self.hosts.get(&host).map_or(0, |host| host.failures);
            return Some(Action::Order { host, failures });
        }
        let host = question?;
        self.asking.insert(host.clone());
        Some(Action::AskRenewal { host })
    }

    /// Nobody waits for a time that was far ahead by mistake: a machine may begin with its
    /// clock at any.
    fn clock_was_ahead(&mut self, now: SystemTime) {
        let soon = now + SHORTEST_PAUSE;
        for host in self.hosts.values_mut().chain(self.left.values_mut()) {
            (host.since, host.ask_at) = (host.since.min(now), host.ask_at.min(soon));
            if let Some(failed) = &mut host.failed {
                failed.next_try = failed.next_try.min(soon);
            }
        }
        if let Account::Failed { next_try, .. } = &mut self.account {
            *next_try = (*next_try).min(soon);
        }
    }

    /// When there is something to do again, if nothing happens before.
    pub(super) fn wakes(&self) -> Option<SystemTime> {
        let next = self.orders().chain(self.questions()).map(|(at, _)| at).min()?;
        match self.account {
            Account::Opening => None,
            Account::Failed { next_try, .. } => Some(next.max(next_try)),
            Account::None | Account::Open { .. } => Some(next),
        }
    }

    /// Hosts to be ordered for, that aren't being, and when; none while there are enough.
    fn orders(&self) -> impl Iterator<Item = (SystemTime, &str)> {
        let may = self.ordering.len() < AT_ONCE;
        let idle = self.hosts.iter().filter(move |(name, _)| may && !self.ordering.contains(*name));
        idle.filter_map(|(name, host)| Some((host.due()?, name.as_str())))
    }

    /// Hosts to ask the server about, and when; none while enough are asked about.
    fn questions(&self) -> impl Iterator<Item = (SystemTime, &str)> {
        let may = self.is_asked && self.asking.len() < AT_ONCE;
        let silent = self.hosts.iter().filter(move |(name, _)| may && !self.asking.contains(*name));
        let known = silent.filter(|(_, host)| host.current().is_some());
        known.map(|(name, host)| (host.ask_at, name.as_str()))
    }

    /// What has become of [`Action::OpenAccount`]: its URL.
    pub(super) fn opened(&mut self, result: Result<String, Failure>, now: SystemTime) {
        self.account = match result {
            Ok(url) => {
                self.account_failures = 0;
                Account::Open { url }
            }
            Err(failure) => {
                self.account_failures = self.account_failures.saturating_add(1);
                let next_try = next_try(self.account_failures, failure.retry_after, now);
                Account::Failed { why: failure.why, next_try }
            }
        };
    }

    /// What has become of [`Action::Order`]: what there is now.
    pub(super) fn ordered(&mut self, name: &str, result: Result<Found, Failure>, now: SystemTime) {
        self.ordering.remove(name);
        let lost = result.as_ref().is_err_and(|failure| failure.account_lost);
        // Else another order has lost it as well, and it is being opened again.
        if lost && matches!(self.account, Account::Open { .. }) {
            self.account = Account::None;
        }
        // Who has left may come back; its files tell what there is, not what failed.
        let left = self.left.get_mut(name);
        let Some(host) = self.hosts.get_mut(name).or(left) else { return };
        match result {
            Ok(found) => {
                host.failed = None;
                host.set(found, now);
                if host.due().is_some_and(|at| at <= now) {
                    let why = "the certificate that was issued has to be renewed already; \
                               see whether the clock is right";
                    host.fail(why.into(), None, now);
                } else {
                    host.failures = 0;
                }
            }
            Err(failure) => host.fail(failure.why, failure.retry_after, now),
        }
    }

    /// What has become of [`Action::AskRenewal`]: none if the server couldn't say.
    pub(super) fn asked(&mut self, name: &str, window: Option<Window>, now: SystemTime) {
        self.asking.remove(name);
        let Some(host) = self.hosts.get_mut(name) else { return };
        let pause = window.map_or(ASK_AGAIN, |window| window.ask_after.max(ASK_AGAIN_AT_LEAST));
        host.ask_at = now + pause.min(LONGEST_RETRY_AFTER);
        if let Some(Window { start, end, .. }) = window
            && !host.wished.is_some_and(|at| start <= at && at <= end)
        {
            let length = end.duration_since(start).unwrap_or_default();
            host.wished = Some(start + length.mul_f64(fastrand::f64()));
        }
    }

    /// The server never says when to renew.
    pub(super) fn never_ask(&mut self) {
        self.is_asked = false;
        self.asking.clear();
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn report(&self) -> Vec<HostReport> {
        let report = |(name, host): (&String, &Host)| HostReport {
            host: name.clone(),
            state: host.state(self.ordering.contains(name)),
            certificate: match &host.found {
                Some(Found::Ours(certificate)) => Some(Validity {
                    not_before: certificate.not_before,
                    not_after: certificate.not_after,
                    renews_at: host.renews_at(certificate),
                }),
                _ => None,
            },
        };
        self.hosts.iter().map(report).collect()
    }
}

impl Host {
    fn new(refused: Option<String>, now: SystemTime) -> Self {
        Self {
            refused,
            found: None,
            since: now,
            failures: 0,
            failed: None,
            wished: None,
            ask_at: now,
        }
    }

    fn set(&mut self, found: Found, now: SystemTime) {
        if self.found.as_ref() != Some(&found) {
            // What the server wished was for another one.
            (self.wished, self.ask_at) = (None, now);
        }
        self.found = Some(found);
    }

    fn fail(&mut self, why: String, retry_after: Option<SystemTime>, now: SystemTime) {
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(Failed { why, next_try: next_try(self.failures, retry_after, now) });
    }

    /// Its certificate, from the server that is asked now.
    fn current(&self) -> Option<&Certificate> {
        match &self.found {
            Some(Found::Ours(certificate)) if certificate.current => Some(certificate),
            _ => None,
        }
    }

    /// When it is to be ordered for.
    fn due(&self) -> Option<SystemTime> {
        let wanted = match self.found.as_ref().filter(|_| self.refused.is_none())? {
            Found::Nothing => self.since,
            Found::Ours(certificate) => self.renews_at(certificate),
            Found::Foreign(_) | Found::Unreadable(_) => return None,
        };
        Some(self.failed.as_ref().map_or(wanted, |failed| failed.next_try.max(wanted)))
    }

    /// When a third of its lifetime is left, or before, if the server wants it.
    fn renews_at(&self, certificate: &Certificate) -> SystemTime {
        let Certificate { not_before, not_after, current } = *certificate;
        if !current {
            return self.since;
        }
        let lifetime = not_after.duration_since(not_before).unwrap_or_default();
        let usual = not_after - lifetime / 3;
        self.wished.map_or(usual, |wished| wished.min(usual))
    }

    fn state(&self, is_ordering: bool) -> State {
        match (&self.refused, &self.found, &self.failed) {
            (Some(why), ..) => State::Refused(why.clone()),
            (_, Some(Found::Foreign(what)), _) => State::LeftAlone(what.clone()),
            (_, Some(Found::Unreadable(why)), _) => State::Unreadable(why.clone()),
            _ if is_ordering => State::Ordering,
            (_, _, Some(Failed { why, next_try })) => {
                State::Failed { why: why.clone(), failures: self.failures, next_try: *next_try }
            }
            (_, Some(Found::Ours(certificate)), _) if certificate.current => State::Valid,
            _ => State::Waiting,
        }
    }
}

/// At random within half of the pause behind it, and not before the server wants it.
fn next_try(failures: u32, retry_after: Option<SystemTime>, now: SystemTime) -> SystemTime {
    let exponent = failures.saturating_sub(1);
    let pause = SHORTEST_PAUSE.saturating_mul(4_u32.saturating_pow(exponent)).min(LONGEST_PAUSE);
    let ours = now + pause.mul_f64(1.0 + fastrand::f64() / 2.0);
    retry_after.map_or(ours, |wish| wish.min(now + LONGEST_RETRY_AFTER).max(ours))
}

#[cfg(test)]
mod tests;
