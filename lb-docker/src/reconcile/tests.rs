use std::collections::BTreeMap;

use lb_core::endpoint::{Endpoint, State};
use proptest::prelude::*;

use super::*;
use crate::{
    container::{Health, Run, running},
    register::{Going, register},
    signal::Signal,
};

/// An engine of which only the containers are real: changes happen in it at
/// once, events and answers are delivered when a test says so.
struct World {
    reconciler: Reconciler,
    now: Instant,
    truth: BTreeMap<Arc<str>, Container>,
    given: BTreeMap<String, Endpoint<Registration>>,
    /// What was given out, in short.
    log: Vec<String>,
    asked: Vec<Arc<str>>,
    /// How many inspections were asked for.
    inspects: usize,
    resets: usize,
}

const HOST: &str = "VIRTUAL_HOST=a.test";

impl World {
    fn new() -> Self {
        Self {
            reconciler: Reconciler::new(vec![]),
            now: Instant::now(),
            truth: BTreeMap::new(),
            given: BTreeMap::new(),
            log: vec![],
            asked: vec![],
            inspects: 0,
            resets: 0,
        }
    }

    /// With these containers running and known.
    fn with(containers: &[Container]) -> Self {
        let mut world = Self::new();
        for container in containers {
            world.truth.insert(container.id.clone(), container.clone());
        }
        world.list();
        world.answer_all();
        world.pass(5_000);
        world.log.clear();
        world.inspects = 0;
        world
    }

    fn pass(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn event(&mut self, id: &str, happened: Happened) -> &mut Self {
        let what = What::Container(id.into(), happened);
        self.reconciler.event(Event { at: self.now, stamped: None, what });
        self.act();
        self
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Container)) -> &mut Self {
        change(self.truth.get_mut(id).unwrap());
        self
    }

    fn summaries(&self) -> Vec<Summary> {
        let shown = |container: &&Container| !matches!(container.run, Run::Ended(_));
        self.truth.values().filter(shown).map(summary).collect()
    }

    /// A list that takes no time.
    fn list(&mut self) -> &mut Self {
        let list = self.summaries();
        self.listed(self.now, &list)
    }

    fn listed(&mut self, began: Instant, list: &[Summary]) -> &mut Self {
        self.reconciler.listed(self.now, began, list);
        self.act();
        self
    }

    fn tick(&mut self) -> &mut Self {
        self.reconciler.tick(self.now);
        self.act();
        self
    }

    fn look(&self, id: &str) -> Inspected {
        match self.truth.get(id) {
            Some(container) => Inspected::Found(Box::new(container.clone())),
            None => Inspected::Missing,
        }
    }

    fn answer(&mut self, id: &Arc<str>, inspected: Inspected) -> &mut Self {
        self.asked.retain(|asked| asked != id);
        self.reconciler.inspected(self.now, id, inspected);
        self.act();
        self
    }

    /// Answers all inspections with the truth.
    fn answer_all(&mut self) -> &mut Self {
        while let Some(id) = self.asked.first().cloned() {
            let truth = self.look(&id);
            self.answer(&id, truth);
        }
        self
    }

    fn act(&mut self) {
        for action in self.reconciler.actions() {
            match action {
                Action::Inspect(id) => {
                    assert!(!self.asked.contains(&id), "asked twice for {id}");
                    self.inspects += 1;
                    self.asked.push(id);
                }
                Action::Emit(Change::Upsert(id, endpoint)) => {
                    self.log.push(format!("{id} {}", short(&endpoint.state)));
                    self.given.insert(id.to_string(), endpoint);
                }
                Action::Emit(Change::Remove(id)) => {
                    self.log.push(format!("{id} removed"));
                    assert!(self.given.remove(id.as_str()).is_some(), "{id} was never there");
                }
                Action::Emit(Change::Reset(all)) => {
                    self.resets += 1;
                    self.log.push("reset".into());
                    self.given =
                        all.into_iter().map(|(id, endpoint)| (id.to_string(), endpoint)).collect();
                }
                Action::List | Action::LookAround => self.log.push(format!("{action:?}")),
            }
        }
    }

    #[track_caller]
    fn saw(&mut self, log: &[&str]) -> &mut Self {
        assert_eq!(mem::take(&mut self.log), log);
        self
    }
}

fn short(state: &State) -> String {
    match state {
        State::Active => "active".into(),
        State::Draining => "draining".into(),
        State::Down(reason) => reason.to_string(),
    }
}

fn summary(container: &Container) -> Summary {
    Summary {
        id: container.id.clone(),
        name: container.name.to_string(),
        run: container.run,
        health: (container.run == Run::Running).then(|| container.health.clone()),
        addresses: container
            .networks
            .iter()
            .filter_map(|network| Some((network.name.clone(), network.address()?)))
            .collect(),
    }
}

fn kill(signal: u8) -> Happened {
    Happened::Kill(Some(Signal(signal)))
}

fn app(id: &str) -> Container {
    running(id, &[HOST])
}

fn end(container: &mut Container) {
    container.run = Run::Ended(Some(137));
    container.networks[0].ipv4 = None;
}

fn restart(container: &mut Container) {
    container.run = Run::Running;
    container.networks[0].ipv4 = Some([172, 18, 0, 77].into());
}

#[test]
fn the_first_set_is_given_out_when_it_is_complete() {
    let mut world = World::new();
    for id in ["a", "b"] {
        world.truth.insert(id.into(), app(id));
    }
    world.list().saw(&[]);
    assert_eq!(world.asked.len(), 2);
    let a = world.look("a");
    world.answer(&"a".into(), a).saw(&[]).answer_all().saw(&["reset"]);
    assert_eq!(world.given.len(), 2);
}

#[test]
fn no_container_is_a_complete_set_too() {
    World::new().list().saw(&["reset"]);
}

#[test]
fn one_that_cant_be_inspected_doesnt_hold_up_the_others() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.truth.insert(id.into(), app(id));
    }
    world.list();
    world.answer(&"a".into(), Inspected::Failed);
    let b = world.look("b");
    world.answer(&"b".into(), b).saw(&[]).pass(2_000).tick().saw(&["reset"]);
    assert_eq!(world.given.keys().collect::<Vec<_>>(), ["b"]);
    world.answer_all();
    assert_eq!(world.given.len(), 3);
    assert_eq!(world.log.len(), 2);
}

#[test]
fn run() {
    let mut world = World::with(&[]);
    world.truth.insert("a".into(), app("a"));
    world.event("a", Happened::Network).saw(&[]);
    assert_eq!(world.inspects, 0, "it has not started yet");
    world.event("a", Happened::Start).answer_all().saw(&["a active"]);
    assert_eq!(world.inspects, 1);
}

#[test]
fn stop() {
    let mut world = World::with(&[app("a")]);
    world.event("a", kill(15)).saw(&["a draining"]);
    world.pass(30).change("a", end).event("a", Happened::Die(Some(0))).saw(&["a exited (0)"]);
    world.pass(60).event("a", Happened::Network);
    assert_eq!(world.inspects, 0, "the events tell all");
    // Its hosts are kept for a while, for requests that wait for its restart.
    assert_eq!(world.given["a"].target.bindings.len(), 1);
    world.pass(9_000).list().saw(&[]);
    world.pass(5_000).list().saw(&["a removed"]);
}

#[test]
fn stop_and_destroy() {
    let mut world = World::with(&[app("a")]);
    world.event("a", kill(15)).pass(30).change("a", end).event("a", Happened::Die(Some(0)));
    world.pass(100).truth.clear();
    world.event("a", Happened::Destroy).event("a", Happened::Network);
    world.saw(&["a draining", "a exited (0)", "a removed"]);
    // A list from before doesn't bring it back, nor does an event that lagged.
    let began = world.now - Duration::from_millis(200);
    world.listed(began, &[summary(&app("a"))]).event("a", Happened::Start).answer_all().saw(&[]);
    assert_eq!(world.inspects, 0);
}

#[test]
fn restarted() {
    let mut world = World::with(&[app("a")]);
    world.event("a", kill(15)).pass(30).change("a", end).event("a", Happened::Die(Some(143)));
    world.pass(100).event("a", Happened::Network);
    world.pass(300).change("a", restart).event("a", Happened::Start);
    world.saw(&["a draining", "a exited (143)"]);
    // The address it had is not used for a moment.
    assert_eq!(world.given["a"].target.bindings[0].address, None);
    world.answer_all().saw(&["a active"]);
    assert_eq!(
        world.given["a"].target.bindings[0].address,
        Some("172.18.0.77:80".parse().unwrap())
    );
    assert_eq!(world.inspects, 1);
}

#[test]
fn stopped_and_started_much_later() {
    let mut world = World::with(&[app("a")]);
    world.change("a", end).event("a", Happened::Die(Some(0))).pass(11_000).list();
    world.saw(&["a exited (0)", "a removed"]);
    world.change("a", restart).event("a", Happened::Start).answer_all().saw(&["a active"]);
}

#[test]
fn killed_by_the_engine_or_by_the_kernel() {
    for before in [&[kill(9)][..], &[Happened::Oom], &[]] {
        let mut world = World::with(&[app("a")]);
        for happened in before {
            world.event("a", happened.clone());
        }
        world.change("a", end).event("a", Happened::Die(Some(137)));
        assert_eq!(world.log.last().map(String::as_str), Some("a exited (137)"));
        world.log.clear();
        // restart=always, with the engine's pause between two starts.
        world.change("a", |c| c.run = Run::Restarting).pass(20_000).list().saw(&[]);
        world.change("a", restart).event("a", Happened::Start).answer_all().saw(&["a active"]);
    }
}

#[test]
fn signals_that_are_no_farewell() {
    let mut world = World::with(&[app("a")]);
    for signal in [1, 10, 12, 28] {
        world.event("a", kill(signal));
    }
    world.saw(&[]);
    let mut apache = app("b");
    apache.stop_signal = Some(Signal(28));
    let mut world = World::with(&[apache]);
    world.event("b", kill(28)).saw(&["b draining"]);
}

#[test]
fn who_ignores_the_signal_is_taken_back() {
    let mut slow = app("a");
    slow.stop_timeout = Some(Duration::from_secs(3));
    let mut world = World::with(&[slow]);
    world.event("a", kill(15)).saw(&["a draining"]);
    // Neither lists nor other events take it back earlier.
    world.pass(1_000).list().event("a", Happened::Change).answer_all();
    world.pass(3_900).tick().saw(&[]);
    world.pass(100).tick().answer_all().saw(&["a active"]);
}

#[test]
fn pause_and_unpause() {
    let mut world = World::with(&[app("a")]);
    world.change("a", |c| c.run = Run::Paused).event("a", Happened::Pause).saw(&["a paused"]);
    assert_eq!(world.inspects, 0);
    // The list still says paused when it no longer is.
    let lie = world.summaries();
    let began = world.now + Duration::from_millis(1_000);
    world.pass(1_000).change("a", |c| c.run = Run::Running).event("a", Happened::Unpause);
    world.answer_all().listed(began, &lie).answer_all().saw(&["a active"]);
    assert_eq!(world.inspects, 1);
}

#[test]
fn health() {
    let mut checked = app("a");
    checked.health = Health::Starting;
    let mut world = World::with(&[checked]);
    assert_eq!(short(&world.given["a"].state), "health check hasn't passed yet");
    world.change("a", |c| c.health = Health::Healthy);
    world.event("a", Happened::Health(Health::Healthy)).saw(&["a active"]);
    assert_eq!(world.inspects, 0, "the event tells all");
    world.change("a", |c| c.health = Health::Unhealthy(Some("no database".into())));
    world.event("a", Happened::Health(Health::Unhealthy(None))).saw(&["a unhealthy"]);
    world.answer_all().saw(&["a unhealthy: no database"]);
}

#[test]
fn a_changed_network_or_name_costs_one_inspection() {
    let mut world = World::with(&[app("a"), app("b")]);
    world.change("a", |c| c.networks.clear()).event("a", Happened::Network).answer_all();
    assert_eq!(world.inspects, 1);
    assert!(world.log[0].starts_with("a no address"));
    world.change("a", |c| c.name = "new".into()).event("a", Happened::Change).answer_all();
    assert_eq!(world.inspects, 2);
    assert_eq!(&*world.given["a"].target.name, "new");
}

#[test]
fn the_balancers_own_networks() {
    let mut world = World::with(&[app("a"), running("own", &[])]);
    world.reconciler.look_from(Vantage::Host, Some("own".into()));
    world.event("own", Happened::Network).saw(&["LookAround"]);
    let vantage = Vantage::Networks { networks: vec![], gateway: None };
    world.reconciler.look_from(vantage, Some("own".into()));
    world.act();
    assert_eq!(world.log.len(), 1);
    assert!(world.log[0].starts_with("a no address"));
}

#[test]
fn recreated_by_compose() {
    // v1 stops the old before it creates the new one, v5 the other way round;
    // the new one starts under another name or gets it before.
    for (rename_old, create_first) in [(true, false), (false, true)] {
        let mut world = World::with(&[app("old")]);
        if create_first {
            world.pass(10).event("new", Happened::Network);
        }
        world.event("old", kill(15)).pass(30);
        world.change("old", end).event("old", Happened::Die(Some(0))).pass(100);
        if rename_old {
            world.event("old", Happened::Change);
        } else {
            world.event("new", Happened::Change).event("new", Happened::Network);
        }
        world.truth.insert("new".into(), app("new"));
        world.pass(400).event("new", Happened::Start).answer_all();
        world.truth.remove("old");
        world.event("old", Happened::Destroy).answer_all();
        world.saw(&["old draining", "old exited (0)", "new active", "old removed"]);
    }
}

#[test]
fn a_list_that_lags_doesnt_raise_the_dead() {
    let mut world = World::with(&[app("a")]);
    let list = world.summaries();
    world.pass(1_000).event("a", kill(9)).event("a", Happened::Die(Some(137)));
    let began = world.now + Duration::from_millis(90);
    world.pass(100).listed(began, &list);
    assert_eq!(world.inspects, 0);
    world.saw(&["a draining", "a exited (137)"]);
}

#[test]
fn an_inspection_that_was_overtaken_is_repeated() {
    let mut world = World::with(&[app("a")]);
    world.event("a", Happened::Change);
    let old = world.look("a");
    world.change("a", |c| c.run = Run::Paused).event("a", Happened::Pause);
    world.answer(&"a".into(), old).saw(&["a paused"]);
    world.answer_all().saw(&[]);
    assert_eq!(world.inspects, 2);
}

#[test]
fn one_that_dies_before_it_was_inspected_still_has_hosts() {
    let mut world = World::with(&[]);
    world.truth.insert("a".into(), app("a"));
    world.event("a", Happened::Start);
    let seen = world.look("a");
    world.change("a", end).event("a", Happened::Die(Some(1)));
    world.answer(&"a".into(), seen).saw(&["a exited (1)"]);
    assert_eq!(world.given["a"].target.bindings.len(), 1);
    assert_eq!(world.inspects, 1);
}

#[test]
fn what_no_event_told_the_list_finds() {
    let mut world = World::with(&[app("a"), app("b"), app("c")]);
    world.change("a", end);
    world.change("b", |c| c.run = Run::Paused);
    world.truth.insert("d".into(), app("d"));
    world.list().answer_all();
    assert_eq!(world.inspects, 3);
    world.log.sort();
    world.saw(&["a exited (137)", "b paused", "d active"]);
    world.pass(1_000).list();
    assert_eq!(world.inspects, 3);
}

#[test]
fn a_lost_connection_changes_nothing_until_the_next_set() {
    let mut world = World::with(&[app("a"), app("b")]);
    world.event("a", Happened::Change);
    world.asked.clear();
    world.reconciler.reconnected();
    world.act();
    world.saw(&[]);
    world.truth.remove("b");
    world.pass(3_000).list().answer_all().saw(&["b removed", "reset"]);
    assert_eq!(world.given.len(), 1);
    assert_eq!(world.resets, 2);
}

#[test]
fn who_dies_during_a_resynchronisation_leaves_at_once() {
    let mut world = World::with(&[app("a"), app("b")]);
    world.reconciler.reconnected();
    world.event("a", kill(15)).saw(&["a draining"]);
    world.list().saw(&["reset"]);
    assert_eq!(world.given["a"].state, State::Draining);
}

#[test]
fn one_destroyed_while_the_first_set_is_made() {
    let mut world = World::new();
    world.truth.insert("a".into(), app("a"));
    world.list().event("a", Happened::Destroy).saw(&["reset"]);
    assert_eq!(world.given.len(), 0);
}

#[test]
fn filters_hide_what_doesnt_pass() {
    let mut world = World::new();
    world.reconciler = Reconciler::new(vec!["label=shown".parse().unwrap()]);
    let mut shown = app("b");
    shown.labels.insert("shown".into(), String::new());
    for container in [app("a"), shown] {
        world.truth.insert(container.id.clone(), container);
    }
    world.list().answer_all();
    assert_eq!(world.given.keys().collect::<Vec<_>>(), ["b"]);
    world.event("a", kill(15)).event("a", Happened::Destroy).saw(&["reset"]);
}

#[test]
fn a_reload_asks_for_a_list() {
    let mut world = World::with(&[]);
    world.reconciler.event(Event { at: world.now, stamped: None, what: What::Reload });
    world.act();
    world.saw(&["List"]);
}

/// A step in the life of a world.
#[derive(Clone, Debug)]
enum Step {
    /// Something is done to the container of this number.
    Do(usize, Deed),
    /// The oldest event is delivered, after this time.
    Deliver(u64),
    /// The engine looks at the first container it was asked for.
    Look,
    /// What it saw first is delivered.
    Answer,
    /// It could not look.
    Fail,
    BeginList,
    EndList,
    Tick(u64),
    Reconnect,
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Start,
    Stop,
    Ignore,
    Signal,
    Crash,
    Pause,
    Unpause,
    Health(bool),
    Rename,
    Destroy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deed = prop_oneof![
        3 => Just(Deed::Start),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Ignore),
        1 => Just(Deed::Signal),
        1 => Just(Deed::Crash),
        1 => Just(Deed::Pause),
        1 => Just(Deed::Unpause),
        1 => any::<bool>().prop_map(Deed::Health),
        1 => Just(Deed::Rename),
        1 => Just(Deed::Destroy),
    ];
    let step = prop_oneof![
        6 => (0..2usize, deed).prop_map(|(i, deed)| Step::Do(i, deed)),
        6 => (0..50u64).prop_map(Step::Deliver),
        4 => Just(Step::Look),
        4 => Just(Step::Answer),
        1 => Just(Step::Fail),
        1 => Just(Step::BeginList),
        1 => Just(Step::EndList),
        2 => (0..3_000u64).prop_map(Step::Tick),
        1 => Just(Step::Reconnect),
    ];
    proptest::collection::vec(step, 0..80)
}

/// Does a deed in the world, and says which events tell of it.
fn act(world: &mut World, id: &str, deed: Deed) -> Vec<Happened> {
    let run = world.truth.get(id).map(|container| container.run);
    if let (Deed::Start, None | Some(Run::Ended(_))) = (deed, run) {
        world.truth.entry(id.into()).or_insert_with(|| app(id));
        world.change(id, restart);
        return vec![Happened::Network, Happened::Start];
    }
    let (alive, running) =
        (matches!(run, Some(Run::Running | Run::Paused)), matches!(run, Some(Run::Running)));
    match deed {
        Deed::Stop if running => {
            world.change(id, end);
            vec![kill(15), Happened::Die(Some(137)), Happened::Network]
        }
        Deed::Ignore if running => vec![kill(15)],
        Deed::Signal if running => vec![kill(12)],
        Deed::Crash if alive => {
            world.change(id, end);
            vec![Happened::Die(Some(137)), Happened::Network, Happened::Network]
        }
        Deed::Pause if running => {
            world.change(id, |c| c.run = Run::Paused);
            vec![Happened::Pause]
        }
        Deed::Unpause if alive && !running => {
            world.change(id, |c| c.run = Run::Running);
            vec![Happened::Unpause]
        }
        Deed::Health(healthy) if running => {
            let health = if healthy { Health::Healthy } else { Health::Unhealthy(None) };
            world.change(id, |c| c.health = health.clone());
            vec![Happened::Health(health)]
        }
        Deed::Rename if run.is_some() => {
            world.change(id, |c| c.name = format!("{}'", c.name).into());
            vec![Happened::Change]
        }
        Deed::Destroy if run.is_some() => {
            world.truth.remove(id);
            if alive {
                vec![kill(9), Happened::Die(Some(137)), Happened::Network, Happened::Destroy]
            } else {
                vec![Happened::Destroy]
            }
        }
        _ => vec![],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever happens while answers are on their way, in the end the truth is
    /// given out, and every change on the way was well-formed.
    #[test]
    fn ends_in_the_truth(mut steps in steps(), told_all in any::<bool>()) {
        let mut world = World::with(&[]);
        if told_all {
            steps.retain(|step| !matches!(step, Step::Reconnect | Step::EndList));
        }
        // An id is never used again, so who was destroyed comes back as another.
        let mut ids: Vec<usize> = vec![0, 1];
        let mut events = std::collections::VecDeque::new();
        let mut seen = std::collections::VecDeque::new();
        let mut list = None;
        for step in steps {
            match step {
                Step::Do(slot, deed) => {
                    let id = ids[slot].to_string();
                    let told = act(&mut world, &id, deed);
                    if told.last() == Some(&Happened::Destroy) {
                        ids[slot] += 2;
                    }
                    events.extend(told.into_iter().map(|happened| (id.clone(), happened)));
                }
                Step::Deliver(ms) => {
                    if let Some((id, happened)) = events.pop_front() {
                        let farewell = matches!(happened, Happened::Die(_)) || happened == kill(15);
                        world.pass(ms).event(&id, happened);
                        let state = world.given.get(&id).map(|endpoint| &endpoint.state);
                        prop_assert!(!farewell || state != Some(&State::Active));
                    }
                }
                Step::Look => {
                    let already = |id: &&Arc<str>| seen.iter().all(|(seen, _)| seen != *id);
                    if let Some(id) = world.asked.iter().find(already).cloned() {
                        let inspected = world.look(&id);
                        seen.push_back((id, inspected));
                    }
                }
                Step::Answer => {
                    if let Some((id, inspected)) = seen.pop_front() {
                        world.answer(&id, inspected);
                    }
                }
                Step::Fail => {
                    if let Some((id, _)) = seen.pop_front() {
                        world.answer(&id, Inspected::Failed);
                    }
                }
                Step::BeginList => list = Some((world.now, world.summaries())),
                Step::EndList => {
                    if let Some((began, list)) = list.take() {
                        world.listed(began, &list);
                    }
                }
                Step::Tick(ms) => {
                    world.pass(ms).tick();
                }
                Step::Reconnect => {
                    // What was on its way is lost, events as well as answers.
                    events.clear();
                    seen.clear();
                    list = None;
                    world.asked.clear();
                    world.reconciler.reconnected();
                }
            }
        }
        // It all quietens down.
        for (id, happened) in events {
            world.event(&id, happened);
        }
        for (id, inspected) in seen {
            world.answer(&id, inspected);
        }
        // Unless events were lost, no list is needed to know the truth.
        world.answer_all().pass(13_000).tick().answer_all();
        for container in world.truth.values().filter(|_| told_all) {
            if !matches!(container.run, Run::Ended(_)) {
                let expected = register(container, Going::On, &Vantage::Host);
                prop_assert_eq!(world.given.get(&*container.id), Some(&expected));
            }
        }
        for _ in 0..4 {
            world.answer_all().pass(13_000).tick().answer_all().list().answer_all();
        }
        prop_assert!(world.resets > 0);
        let expected: BTreeMap<_, _> = world
            .truth
            .values()
            .filter(|container| !matches!(container.run, Run::Ended(_)))
            .map(|c| (c.id.to_string(), register(c, Going::On, &Vantage::Host)))
            .collect();
        prop_assert_eq!(world.given, expected);
    }
}
