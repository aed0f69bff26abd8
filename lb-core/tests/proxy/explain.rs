//! What is explained is what happens.

use std::{net::IpAddr, time::SystemTime};

use lb_core::{
    Endpoint,
    balance::Algorithm,
    endpoint::{Obstacle, Reason, State},
    http::{
        Options, Refusal, Trust,
        explain::{Basis, EndpointExplanation, Goes, Inquiry, Match, RequestExplanation, Test},
    },
    registry::{Problem, Registration},
};

use crate::support::{Backend, Lb, registration};

impl Lb {
    fn explain(&self, who: &str) -> EndpointExplanation {
        let mut found = self.plane.explain_endpoint(who).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn asked(&self, host: &str) -> RequestExplanation {
        self.plane.explain_request(&host.parse().unwrap())
    }

    /// The name of the one endpoint that this request would go to.
    fn owner(&self, inquiry: &Inquiry) -> String {
        let route = self.plane.explain_request(inquiry).route.unwrap();
        let Goes::To { id, tried: None } = route.goes else { panic!("{:?}", route.goes) };
        let owner = route.endpoints.iter().find(|one| one.report.id == id).unwrap();
        owner.report.name.to_string()
    }
}

fn unmet(explanation: &EndpointExplanation) -> Vec<(Test, String)> {
    let roles = explanation.roles.iter().flat_map(|role| &role.conditions);
    let all = explanation.conditions.iter().chain(roles);
    let unmet = all.filter(|condition| condition.met == Some(false));
    unmet.map(|one| (one.test, one.note.clone().unwrap_or_default())).collect()
}

#[tokio::test]
async fn each_reason_not_to_be_used_is_found() {
    let backend = Backend::hello("a").await;
    let lb = Lb::start(Options::default()).await;
    let usual = |id: &str| Endpoint::new(registration(id, "app.local", backend.address));
    lb.send("good", usual("good"));
    lb.send("leaving", usual("leaving").state(State::Draining));
    lb.send("weightless", usual("weightless").weight(0));
    lb.send("drained", usual("drained"));
    lb.upsert("deaf", "app.local", Backend::reserved().await.address());
    let down = |obstacle, why: &'static str| State::Down(Reason::new(obstacle, why));
    for (id, state) in [
        ("paused", down(Obstacle::NotRunning, "paused")),
        ("sick", down(Obstacle::Unhealthy, "unhealthy: no database")),
        ("far", down(Obstacle::Unreachable, "no address")),
    ] {
        let mut endpoint = usual(id).state(state);
        if id == "far" {
            endpoint.target.bindings[0].address = None;
        }
        lb.send(id, endpoint);
    }
    let problem = Problem {
        key: "VIRTUAL_PORT".into(),
        value: "0".into(),
        remedy: "a port is a number from 1 to 65535".into(),
    };
    let unrouted = |name: &str, problems, why: &'static str| {
        Endpoint::new(Registration {
            name: name.into(),
            created: SystemTime::UNIX_EPOCH,
            bindings: Vec::new(),
            problems,
        })
        .state(State::Down(why.into()))
    };
    lb.send("bad", unrouted("bad", vec![problem.clone()], "its settings can't be used"));
    lb.send("idle", unrouted("idle", Vec::new(), "names no host"));
    lb.ready("app.local", 2).await;
    lb.controls.drain("drained").await.unwrap();
    lb.ready("app.local", 1).await;

    for (id, test, words) in [
        ("leaving", Test::Staying, ""),
        ("weightless", Test::Weighted, ""),
        ("drained", Test::Undrained, ""),
        ("deaf", Test::Accepting, "does not accept connections yet"),
        ("paused", Test::Running, "paused"),
        ("sick", Test::Healthy, "unhealthy: no database"),
        ("far", Test::Reachable, "no address"),
        ("bad", Test::Understood, "VIRTUAL_PORT=\"0\": a port is a number from 1 to 65535"),
        ("idle", Test::Asks, "names no host"),
    ] {
        lb.until(|| unmet(&lb.explain(id)).first().is_some_and(|(_, note)| note.contains(words)))
            .await;
        let explanation = lb.explain(id);
        let unmet = unmet(&explanation);
        assert_eq!(unmet.len(), 1, "{id}: {unmet:?}");
        assert_eq!(unmet[0].0, test, "{id}");
        assert!(!explanation.is_used(), "{id}");
        assert!(explanation.roles.iter().all(|role| role.share == 0.0), "{id}");
    }
    // What comes behind what is amiss isn't known.
    let conditions = lb.explain("paused").conditions;
    let of = |test| conditions.iter().find(|one| one.test == test).unwrap().met;
    assert_eq!((of(Test::Understood), of(Test::Healthy)), (Some(true), None));
    assert_eq!((of(Test::Reachable), of(Test::Weighted)), (None, Some(true)));

    let good = lb.explain("good");
    assert_eq!(unmet(&good), []);
    assert!(good.is_used() && good.since <= SystemTime::now());
    assert_eq!((good.roles[0].share, good.roles[0].basis), (1.0, Basis::Turns));
    assert_eq!(&*good.roles[0].service, "app.local");

    let asked = lb.asked("app.local");
    assert_eq!(asked.route.unwrap().goes, Goes::ToOneOf);
    // Settings that don't keep it out are told.
    let mut known = usual("good");
    known.target.problems.push(problem);
    lb.send("good", known);
    lb.until(|| !lb.explain("good").problems.is_empty()).await;
    assert!(lb.explain("good").is_used());
}

#[tokio::test]
async fn who_is_meant_is_found_as_for_a_drain() {
    let backend = Backend::hello("a").await;
    let lb = Lb::start(Options::default()).await;
    for (id, name, host) in [
        ("abcd1", "web-1", "a.local"),
        ("abcd2", "web-2", "a.local"),
        ("ffff3", "web-2", "b.local"),
    ] {
        lb.send(id, Endpoint::new(registration(name, host, backend.address)));
    }
    lb.ready("b.local", 1).await;
    assert_eq!(lb.explain("web-1").id.as_str(), "abcd1");
    assert_eq!(lb.explain("abcd2").id.as_str(), "abcd2");
    assert_eq!(lb.explain("ffff").id.as_str(), "ffff3");
    assert_eq!(lb.plane.explain_endpoint("web-2").unwrap().len(), 2, "two of one name");
    assert_eq!(lb.plane.explain_endpoint("abcd").unwrap_err().len(), 2);
    assert!(lb.plane.explain_endpoint("nobody").unwrap_err().is_empty());
}

#[tokio::test]
async fn a_state_says_since_when() {
    let backend = Backend::hello("a").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "a.local", backend.address);
    lb.upsert("2", "a.local", backend.address);
    lb.ready("a.local", 2).await;
    let since = |id: &str| lb.explain(id).roles[0].report.since;
    let (one, two, before) = (since("1"), since("2"), SystemTime::now());
    assert!(one <= before && before.duration_since(one).unwrap().as_secs() < 60);
    lb.controls.drain("1").await.unwrap();
    assert!(since("1") >= before, "drained now");
    assert_eq!(since("2"), two, "which is nothing to it");
    // Found out here, and nobody's word: it goes, and comes back.
    let undrained = SystemTime::now();
    lb.controls.undrain("1").await.unwrap();
    lb.ready("a.local", 2).await;
    assert!(since("1") >= undrained);
}

#[tokio::test]
async fn a_host_is_matched_as_a_request_is() {
    let backend = Backend::hello("a").await;
    let mut options = Options::default();
    options.default_host = Some("default.local".into());
    let lb = Lb::start(options).await;
    for (id, host) in [
        ("1", "a.example.com"),
        ("2", "*.example.com"),
        ("3", "www.example.*"),
        ("4", "default.local"),
    ] {
        lb.upsert(id, host, backend.address);
        lb.ready(host, 1).await;
    }
    for (text, service, by) in [
        ("a.example.com", "a.example.com", Match::Exact),
        ("A.Example.COM.:8080", "a.example.com", Match::Exact),
        ("https://a.example.com:8443/path?query", "a.example.com", Match::Exact),
        ("b.example.com", "*.example.com", Match::Wildcard),
        ("a.b.example.com", "*.example.com", Match::Wildcard),
        ("www.example.org", "www.example.*", Match::Wildcard),
        ("example.com", "default.local", Match::Default),
        ("default.local", "default.local", Match::Exact),
        ("10.0.0.1", "default.local", Match::Default),
    ] {
        let asked = lb.asked(text);
        let route = asked.route.as_ref().unwrap();
        assert_eq!((&*route.service, route.found_by), (service, by), "{text}");
        // By HTTPS nothing is served here.
        assert_eq!(asked.is_served(), !text.starts_with("https"), "{text}");
        assert_eq!(route.endpoints.len(), 1);
    }
    let near = lb.asked("example.com").near;
    assert!(near.iter().any(|near| &*near.name == "*.example.com"), "{near:?}");
    assert!(lb.asked("a.example.com").near.is_empty());
}

#[tokio::test]
async fn what_nobody_answers_for_is_told_with_what_is_near() {
    let backend = Backend::hello("a").await;
    let lb = Lb::start(Options::default()).await;
    lb.upsert("1", "www.example.com", backend.address);
    lb.ready("www.example.com", 1).await;
    let asked = lb.asked("example.com");
    assert_eq!(asked.refused, Some(Refusal::NoRoute));
    assert!(!asked.is_served() && asked.route.is_none());
    assert_eq!(&*asked.near[0].name, "www.example.com");
    for text in ["a,b", "user@host", "bücher.de"] {
        let asked = lb.asked(text);
        assert_eq!((asked.refused, asked.is_served()), (Some(Refusal::BadHost), false), "{text}");
    }
    // Its last endpoint goes; the host is remembered for as long as requests wait.
    lb.remove("1");
    lb.until(|| {
        let route = lb.asked("www.example.com").route;
        route.is_some_and(|route| matches!(route.goes, Goes::Waits(_)))
    })
    .await;
    let asked = lb.asked("www.example.com");
    assert!(!asked.is_served() && asked.route.unwrap().endpoints.is_empty());
}

#[tokio::test]
async fn asking_takes_nobodys_turn() {
    let backends = [Backend::hello("a").await, Backend::hello("b").await];
    let lb = Lb::start(Options::default()).await;
    for (backend, name) in backends.iter().zip(["a", "b"]) {
        lb.upsert(name, "app.local", backend.address);
    }
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    let mut last = client.get("app.local", "/").await.body;
    for _ in 0..10 {
        let route = lb.asked("app.local").route.unwrap();
        assert!(route.endpoints.iter().all(|one| one.share == 0.5), "{route:?}");
        assert_eq!(route.goes, Goes::ToOneOf);
        assert_eq!(lb.explain("a").roles[0].share, 0.5);
        let next = client.get("app.local", "/").await.body;
        assert_ne!(next, last, "the other one's turn, whatever was asked between");
        last = next;
    }
    let report = lb.report("app.local");
    assert!(report.endpoints.iter().all(|endpoint| endpoint.in_flight == 0), "{report:?}");
}

#[tokio::test]
async fn a_client_goes_where_it_is_said_to_go() {
    for algorithm in [Algorithm::RingHash, Algorithm::Maglev, Algorithm::Rendezvous] {
        let backends =
            [Backend::hello("a").await, Backend::hello("b").await, Backend::hello("c").await];
        let mut options = Options::default();
        options.algorithm = algorithm;
        // Of those who connect from elsewhere the word counts for nothing.
        options.forwarding.trust = "127.9.0.0/16".parse().unwrap();
        let lb = Lb::start(options).await;
        for (backend, name) in backends.iter().zip(["a", "b", "c"]) {
            lb.upsert(name, "app.local", backend.address);
        }
        lb.ready("app.local", 3).await;
        let route = lb.asked("app.local").route.unwrap();
        assert_eq!((&route.goes, route.basis, &route.key), (&Goes::ToOneOf, Basis::Keys, &None));
        let sum: f64 = route.endpoints.iter().map(|one| one.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{route:?}");
        assert!(route.endpoints.iter().all(|one| one.share > 0.2), "{route:?}");

        let mut owners = std::collections::HashSet::new();
        for n in 1..60_u8 {
            // Once with a word of who it speaks for, from somebody who is believed and
            // from somebody who isn't, and once without.
            let ip = IpAddr::from([127, if n % 2 == 0 { 9 } else { 8 }, 0, n]);
            let mut inquiry: Inquiry = "app.local".parse().unwrap();
            inquiry.client = Some(ip);
            let mut request = "GET / HTTP/1.1\r\nHost: app.local\r\n".to_owned();
            if n % 3 == 0 {
                let chain = format!("203.0.113.{n}, 127.9.0.1");
                inquiry.headers.insert("x-forwarded-for", chain.parse().unwrap());
                request += &format!("X-Forwarded-For: {chain}\r\n");
            }
            let said = lb.owner(&inquiry);
            let done = lb.client_from(ip).await.raw(&(request + "\r\n")).await.body;
            assert_eq!(said, done, "{algorithm}: {ip}");
            let asked = lb.plane.explain_request(&inquiry);
            assert_eq!(asked.believed, Some(n % 2 == 0), "{ip}");
            let key = asked.route.unwrap().key.unwrap();
            let speaks = n % 6 == 0;
            assert_eq!(key == format!("203.0.113.{n}"), speaks, "{ip}: {key}");
            assert_eq!(asked.speaks_for.is_some(), speaks, "{ip}");
            owners.insert(said);
        }
        assert_eq!(owners.len(), 3, "{algorithm}");

        // Who takes over from one that is drained is said, too.
        lb.controls.drain("b").await.unwrap();
        for n in 1..30_u8 {
            let ip = IpAddr::from([127, 8, 0, n]);
            let mut inquiry: Inquiry = "app.local".parse().unwrap();
            inquiry.client = Some(ip);
            let done = lb.client_from(ip).await.get("app.local", "/").await.body;
            assert_eq!(lb.owner(&inquiry), done, "{algorithm}: {ip}");
        }
    }
}

#[tokio::test]
async fn where_everybody_is_believed_the_word_is_enough() {
    let backends = [Backend::hello("a").await, Backend::hello("b").await];
    let mut options = Options::default();
    options.algorithm = Algorithm::Rendezvous;
    options.forwarding.trust = Trust::everybody();
    let lb = Lb::start(options).await;
    for (backend, name) in backends.iter().zip(["a", "b"]) {
        lb.upsert(name, "app.local", backend.address);
    }
    lb.ready("app.local", 2).await;
    let mut client = lb.client().await;
    for n in 0..20 {
        let chain = format!("10.0.0.{n}");
        let mut inquiry: Inquiry = "app.local".parse().unwrap();
        inquiry.headers.insert("x-forwarded-for", chain.parse().unwrap());
        let request =
            format!("GET / HTTP/1.1\r\nHost: app.local\r\nX-Forwarded-For: {chain}\r\n\r\n");
        assert_eq!(lb.owner(&inquiry), client.raw(&request).await.body);
    }
    assert_eq!(lb.asked("app.local").believed, Some(true));
}

#[tokio::test]
async fn weights_show_in_shares() {
    let backend = Backend::hello("a").await;
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::LeastRequest, Algorithm::Maglev] {
        let mut options = Options::default();
        options.algorithm = algorithm;
        let lb = Lb::start(options).await;
        for (id, weight) in [("1", 1), ("2", 3), ("3", 0)] {
            let endpoint = Endpoint::new(registration(id, "app.local", backend.address));
            lb.send(id, endpoint.weight(weight));
        }
        lb.ready("app.local", 2).await;
        let shares = lb.asked("app.local").route.unwrap().endpoints;
        let shares: Vec<_> = shares.iter().map(|one| one.share).collect();
        for (share, expected) in shares.iter().zip([0.25, 0.75, 0.0]) {
            assert!((share - expected).abs() < 0.02, "{algorithm}: {shares:?}");
        }
    }
}
