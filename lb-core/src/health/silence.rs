use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use super::pause::after;

/// Finds endpoints that hang: they take requests and answer none of them, while
/// the others of their pool answer theirs. Pure: counts and the time go in,
/// decisions come out.
///
/// A time limit would have to be longer than the slowest answer of any service.
/// This compares an endpoint with its siblings instead, at the pool's own pace.
/// It hangs when
///
/// * nothing has come from it for [`patience`](SilenceOptions::patience), and for
///   twice as long as nearly all answers of late have taken the pool,
/// * several requests wait for it,
/// * it has been sent about as many as the others have answered meanwhile, which
///   are several each: those few that are kept waiting by slow requests, as they
///   are by balancers that look at load, prove nothing.
///
/// An ejection is brief. After it the endpoint is on trial: it is to be given one
/// request at a time, until it answers one, or is ejected again for twice as long.
/// It is given more time then, too, and so is one that has never answered: it may
/// only be cold. An answer to what it still had ends an ejection at once.
///
/// Where everything waits for one, nobody else is heard. After ten times the
/// patience one of the requests is to go elsewhere, and another one each time the
/// others have answered what they were given: that sounds out who is to blame. What
/// was heard before everything stood still doesn't count any more then.
///
/// The last endpoint that can be used is never ejected, nor are more than half of
/// all; and when only ejected ones are left, they return, until there is somebody
/// else again: what they have not answered by then may go there.
///
/// Members are known by their place: that of [`insert`](Self::insert), which
/// [`remove`](Self::remove) gives to the last one.
#[derive(Debug)]
pub struct Silence {
    options: SilenceOptions,
    members: Vec<Member>,
    /// Answers of all members since it was made, and when they last became more.
    heard: u64,
    last_heard: Option<Instant>,
    /// The longest times an answer took between two judgements, of late.
    slowest: VecDeque<Duration>,
}

/// When an endpoint counts as silent, and what becomes of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SilenceOptions {
    /// How long nothing has to have come from an endpoint; 100 ms. From one that
    /// has never answered, ten times that.
    pub patience: Duration,
    /// How many requests have to wait for it; 3.
    pub waiting: usize,
    /// How many answers the others have to have given meanwhile, each on
    /// average, and how many requests it has to have been sent; 5.
    pub answers: u64,
    /// How long the first ejection lasts; 1 s. Each one that follows lasts twice
    /// as long.
    pub base_ejection: Duration,
    /// The longest ejection; 30 s. Who has stayed for that long begins anew.
    pub max_ejection: Duration,
    /// How long one is on trial without being given a request before it is
    /// trusted as it is; 5 s.
    pub trial: Duration,
}

impl Default for SilenceOptions {
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(100),
            waiting: 3,
            answers: 5,
            base_ejection: Duration::from_secs(1),
            max_ejection: Duration::from_secs(30),
            trial: Duration::from_secs(5),
        }
    }
}

/// What is known of one endpoint at the time of a judgement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Requests ever sent to it.
    pub sent: u64,
    /// Those of them for whose answer's first byte somebody waits.
    pub waiting: usize,
    /// Answers it has begun, ever.
    pub answers: u64,
    /// Whether it could be picked if it weren't for this.
    pub usable: bool,
}

/// What is to be done with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It hangs: it gets no requests, and those that wait for it and may be
    /// repeated go elsewhere.
    Eject {
        /// Requests that wait for it.
        waiting: usize,
        /// How long nothing has come from it.
        silent: Duration,
        /// For how long, at most.
        duration: Duration,
    },
    /// One of the requests that wait for it is to go elsewhere, to see whether
    /// others answer.
    Sound,
    /// Its ejection is over: it gets one request at a time.
    Try,
    /// It has answered, or nobody else is left: it gets requests as before.
    Return,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eject { waiting, silent, duration } => write!(
                f,
                "is ejected for {duration:?}: it hangs; {waiting} requests wait for it, nothing \
                 has come for {silent:.0?}, and the others answer"
            ),
            Self::Sound => f.write_str("may hang: one of its requests goes elsewhere"),
            Self::Try => f.write_str("is tried with one request at a time"),
            Self::Return => f.write_str("is back from its ejection"),
        }
    }
}

#[derive(Debug)]
struct Member {
    last: Heard,
    silence: Option<Begun>,
    state: State,
    ejections: u32,
    returned: Option<Instant>,
}

/// When requests were first seen to wait, and what there was just before.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    /// Answers of all.
    heard: u64,
    /// Requests sent to it.
    sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trusted,
    Ejected {
        until: Instant,
    },
    /// It is ejected, and used as there is nobody else.
    Needed,
    OnTrial {
        until: Instant,
    },
}

/// How many of the slowest answers are remembered: in a busy service those of the
/// last few seconds.
const REMEMBERED: usize = 256;

/// How many times as long as answers usually take is too long.
const FACTOR: u32 = 2;

/// How much more patience there is with who has never answered, and before others
/// are sounded out.
const COLD: u32 = 10;

impl Silence {
    /// A pool without members.
    pub fn new(options: SilenceOptions) -> Self {
        Self { options, members: Vec::new(), heard: 0, last_heard: None, slowest: VecDeque::new() }
    }

    /// Adds a member behind the others. What it has done so far is neither held
    /// against it nor against them.
    pub fn insert(&mut self, now: Heard) {
        self.members.push(Member {
            last: now,
            silence: None,
            state: State::Trusted,
            ejections: 0,
            returned: None,
        });
    }

    /// Forgets the member at this place, which the last one takes.
    ///
    /// # Panics
    ///
    /// There is no such place.
    pub fn remove(&mut self, at: usize) {
        self.members.swap_remove(at);
    }

    /// Decides by what is known of all members, in the order of their places.
    /// `slowest` is the longest time that an answer has taken since the last
    /// judgement.
    ///
    /// Call it often: what it doesn't see, it can't tell from silence.
    pub fn judge(
        &mut self,
        now: Instant,
        slowest: Duration,
        pool: &[Heard],
    ) -> Vec<(usize, Verdict)> {
        let Self { options, members, .. } = self;
        let mut verdicts = Vec::new();
        let before = self.heard;
        for (at, (member, heard)) in members.iter_mut().zip(pool).enumerate() {
            if member.listen(now, before, heard, &mut self.heard) {
                verdicts.push((at, Verdict::Return));
            }
        }
        if self.heard > before {
            self.last_heard = Some(now);
        }
        let quiet = self.last_heard.map(|at| now.saturating_duration_since(at));
        let quiet = quiet.is_none_or(|quiet| quiet >= options.patience * COLD);
        if !slowest.is_zero() {
            self.slowest.truncate(REMEMBERED - 1);
            self.slowest.push_front(slowest);
        }

        let ejected = members.iter().filter(|member| member.is_ejected());
        let mut room = (members.len() / 2).max(1).saturating_sub(ejected.count());
        let usable = members.iter().zip(pool);
        let usable = usable.filter(|(member, heard)| heard.usable && !member.is_ejected());
        let mut in_use = usable.count() as u64;
        let waiting: usize = pool.iter().map(|heard| heard.waiting).sum();
        let mut usual = None;
        for (at, (member, heard)) in members.iter_mut().zip(pool).enumerate() {
            match member.state {
                State::Ejected { .. } if in_use == 0 && heard.usable => {
                    member.state = State::Needed;
                    verdicts.push((at, Verdict::Return));
                }
                State::Needed if in_use > 0 => {
                    let silent =
                        member.silence.map(|begun| now.saturating_duration_since(begun.at));
                    let duration = options.base_ejection;
                    member.state = State::Ejected { until: after(now, duration) };
                    let (waiting, silent) = (heard.waiting, silent.unwrap_or_default());
                    verdicts.push((at, Verdict::Eject { waiting, silent, duration }));
                }
                State::Ejected { until } if until <= now => {
                    member.state = State::OnTrial { until: after(now, options.trial) };
                    member.silence = None;
                    verdicts.push((at, Verdict::Try));
                }
                State::OnTrial { until } if until <= now && heard.waiting == 0 => {
                    member.trust(now);
                    verdicts.push((at, Verdict::Return));
                }
                State::Ejected { .. } | State::Needed => {}
                State::Trusted | State::OnTrial { .. } => {
                    let others = in_use.saturating_sub(1);
                    if !heard.usable || others == 0 || room == 0 {
                        continue;
                    }
                    let alone = waiting == heard.waiting;
                    let Some(silent) = member.silent(now, heard, options, others, self.heard)
                    else {
                        let usual = || *usual.get_or_insert_with(|| usually(&self.slowest));
                        let unheard = member.given(self.heard) < options.answers * others;
                        if alone
                            && (unheard || quiet)
                            && member.is_to_be_sounded(now, heard, options, usual)
                        {
                            if quiet {
                                member.begin_anew(self.heard);
                            }
                            verdicts.push((at, Verdict::Sound));
                        }
                        continue;
                    };
                    let usual = usual.get_or_insert_with(|| usually(&self.slowest));
                    if silent < usual.saturating_mul(FACTOR) {
                        continue;
                    }
                    let duration = member.eject(now, options);
                    in_use -= 1;
                    room -= 1;
                    let waiting = heard.waiting;
                    verdicts.push((at, Verdict::Eject { waiting, silent, duration }));
                }
            }
        }
        verdicts
    }

    /// Whether nothing has come from a member, which somebody waits for, for longer
    /// than answers take: of one that is known to be unable to answer, this is all
    /// there is to prove.
    pub fn is_stuck(&self, at: usize, now: Instant) -> bool {
        let Some(begun) = self.members.get(at).and_then(|member| member.silence) else {
            return false;
        };
        let silent = now.saturating_duration_since(begun.at);
        silent >= self.options.patience && silent >= usually(&self.slowest).saturating_mul(FACTOR)
    }

    /// Whether anybody is ejected or on trial.
    pub fn is_at_work(&self) -> bool {
        self.members.iter().any(|member| member.state != State::Trusted)
    }
}

impl Member {
    fn is_ejected(&self) -> bool {
        matches!(self.state, State::Ejected { .. } | State::Needed)
    }

    /// Takes in what has been heard of it, and adds it to what has been `heard` of
    /// all, which was `before` by the last judgement; true if it answers again.
    fn listen(&mut self, now: Instant, before: u64, seen: &Heard, heard: &mut u64) -> bool {
        let answers = seen.answers.saturating_sub(self.last.answers);
        *heard += answers;
        // It may have fallen silent right after the last judgement: what the
        // others have said since then counts, and what it was sent.
        let begun = Begun { at: now, heard: before + answers, sent: self.last.sent };
        self.last = *seen;
        if answers > 0 {
            self.silence = (seen.waiting > 0).then_some(begun);
            if self.state != State::Trusted {
                self.trust(now);
                return true;
            }
        } else if seen.waiting == 0 {
            self.silence = None;
        } else {
            self.silence.get_or_insert(begun);
        }
        false
    }

    /// How long it has been silent, if that is too long for a service that is
    /// quick, and the others have been heard.
    fn silent(
        &self,
        now: Instant,
        seen: &Heard,
        options: &SilenceOptions,
        others: u64,
        heard: u64,
    ) -> Option<Duration> {
        let begun = self.silence?;
        let silent = now.saturating_duration_since(begun.at);
        let given = self.given(heard);
        let sent = seen.sent.saturating_sub(begun.sent);
        let is_silent = if let State::OnTrial { .. } = self.state {
            let patience = options.patience.saturating_mul(1 << self.ejections.min(8));
            silent >= patience && seen.waiting > 0 && given > 0
        } else {
            let patience = options.patience * if seen.answers == 0 { COLD } else { 1 };
            silent >= patience
                && seen.waiting >= options.waiting.max(1)
                && sent >= options.answers
                && given >= options.answers.saturating_mul(others)
                && sent.saturating_mul(2) >= given / others
        };
        is_silent.then_some(silent)
    }

    /// Answers that the others have given while it was silent.
    fn given(&self, heard: u64) -> u64 {
        self.silence.map_or(0, |begun| heard.saturating_sub(begun.heard))
    }

    /// Compares it with what the others answer from now on.
    fn begin_anew(&mut self, heard: u64) {
        if let Some(begun) = &mut self.silence {
            begun.heard = heard;
        }
    }

    /// Whether one of several that have waited for long is to go elsewhere.
    fn is_to_be_sounded(
        &self,
        now: Instant,
        seen: &Heard,
        options: &SilenceOptions,
        usual: impl FnOnce() -> Duration,
    ) -> bool {
        let silent = self.silence.map(|begun| now.saturating_duration_since(begun.at));
        silent.is_some_and(|silent| {
            seen.waiting >= options.waiting.max(1)
                && silent >= options.patience * COLD
                && silent >= usual().saturating_mul(COLD)
        })
    }

    fn eject(&mut self, now: Instant, options: &SilenceOptions) -> Duration {
        let SilenceOptions { base_ejection, max_ejection, .. } = *options;
        let stayed = self.returned.map(|at| now.saturating_duration_since(at));
        if stayed.is_some_and(|stayed| stayed >= max_ejection) {
            self.ejections = 0;
        }
        let times = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let duration = base_ejection.saturating_mul(times).min(max_ejection);
        self.ejections = self.ejections.saturating_add(1);
        self.state = State::Ejected { until: after(now, duration) };
        duration
    }

    fn trust(&mut self, now: Instant) {
        self.state = State::Trusted;
        self.returned = Some(now);
    }
}

/// The longest an answer usually takes: the slowest one in twenty judgements
/// doesn't count, as it may have been stuck itself.
fn usually(slowest: &VecDeque<Duration>) -> Duration {
    let mut sorted: Vec<_> = slowest.iter().copied().collect();
    sorted.sort_unstable();
    let unusual = sorted.len().div_ceil(20).min(sorted.len().saturating_sub(1));
    sorted.truncate(sorted.len() - unusual);
    sorted.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests;
