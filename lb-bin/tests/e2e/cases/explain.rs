//! What is explained of containers and hosts is what becomes of requests.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use serde_json::Value;

use crate::{
    http::greeter,
    lb::{Lb, View},
    scope::Scope,
    wait,
};

super::cases! {
    each_reason_not_to_be_routed_is_explained,
    a_host_is_explained_by_what_answers_for_it,
    a_client_goes_to_the_container_that_is_named,
}

impl View {
    /// What the command prints, and whether it says that all is served.
    #[track_caller]
    fn explain(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb-bin"));
        command.arg("explain").args(args).args(["--admin", &self.admin.to_string()]);
        let output = command.output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(code, Some(0 | 1)) && said.is_empty(), "{code:?}: {said}");
        (code == Some(0), String::from_utf8(output.stdout).unwrap())
    }

    /// Waits until it is explained so, and returns how.
    #[track_caller]
    fn explained(&self, args: &[&str], served: bool, words: &[&str]) -> String {
        let what = format!("{args:?} to be explained by {words:?}");
        let state = || self.explain(args).1;
        wait::until(&what, state, || {
            let (is_served, text) = self.explain(args);
            let said = words.iter().all(|word| text.contains(word));
            (is_served == served && said).then_some(text)
        })
    }
}

fn each_reason_not_to_be_routed_is_explained(scope: &Scope) {
    let control = format!("@{}", scope.prefix());
    let lb = Lb::with(|lb| {
        lb.env("LB_CONTROL", &control);
    });
    let host = scope.host("app");
    let usual = |name| scope.app(name).hosts(&["app"]);
    let good = usual("good").start();
    let bad = usual("bad").env("VIRTUAL_PORT", "0").start();
    let idle = scope.app("idle").start();
    let sick = usual("sick").checked().env("APP_UNHEALTHY", "true").start();
    let alone = usual("alone").option("--network=none").start();
    let ended = usual("ended").start();
    let drained = usual("drained").start();
    let deaf = usual("deaf").env("VIRTUAL_PORT", "9").start();
    let paused = usual("paused").start();
    // What is ready now is so by its own merit.
    lb.ready(&host, 4);
    ended.docker(&["kill"]);
    paused.docker(&["pause"]);
    let mut drain = Command::new(env!("CARGO_BIN_EXE_lb-bin"));
    drain.args(["drain", &drained.name, "--control", &control]);
    assert!(drain.output().unwrap().status.success());

    let no = |name: &str, why: &str| format!("{name} gets no requests: {why}");
    for (container, verdict, words) in [
        (&bad, "its settings can't be used", "VIRTUAL_PORT=\"0\": a port is a number"),
        (&idle, "it asks for no host", "set VIRTUAL_HOST or the label lb.host"),
        (&sick, "it isn't healthy", "lb.ready=accept"),
        (&alone, "there is no way to reach it", "docker network connect NETWORK"),
        (&ended, "it doesn't run", "exited (137)"),
        (&paused, "it doesn't run", "paused"),
        (&drained, "it is drained", "lb-bin undrain"),
        (&deaf, "it accepts no connections", "The port is set by VIRTUAL_PORT or lb.port"),
    ] {
        let text = lb.explained(&[&container.name], false, &[&no(&container.name, verdict), words]);
        assert!(!text.contains("% of the requests"), "{text}");
        // An id, or the beginning of one, will do.
        let by_id = lb.explained(&[&container.id[..12]], false, &[verdict]);
        assert!(by_id.contains(&container.name), "{by_id}");
    }
    let text = lb.explained(&[&good.name], true, &["100 % of the requests"]);
    assert!(!text.contains("  no "), "{text}");

    // And what is explained of the host is what happens.
    let goes = format!("http://{host} goes to {}, the only one that is used", good.name);
    lb.explained(&[&host], true, &[&goes]);
    assert_eq!(lb.served_from(&host), "good");
    good.docker(&["pause"]);
    let none = "waits, for 10 s at most, and then gets 503 (no_endpoint): none of its 7";
    lb.explained(&[&host], false, &[none]);
}

fn a_host_is_explained_by_what_answers_for_it(scope: &Scope) {
    let fallback = scope.host("fallback");
    let lb = Lb::with(|lb| {
        lb.env("DEFAULT_HOST", &fallback);
    });
    scope.app("exact").hosts(&["a.exact"]).start();
    scope.app("wild").env("VIRTUAL_HOST", &format!("*.{}", scope.host("exact"))).start();
    scope.app("rest").hosts(&["fallback"]).start();
    for host in ["a.exact", "fallback"] {
        lb.ready(&scope.host(host), 1);
    }
    lb.ready(&format!("*.{}", scope.host("exact")), 1);
    for (host, by, app) in [
        (scope.host("a.exact"), "by this very name", "exact"),
        (scope.host("b.exact"), "by the wildcard *.exact.", "wild"),
        (scope.host("exact"), "is the default host", "rest"),
        (format!("{}.:8080", scope.host("A.EXACT")), "by this very name", "exact"),
    ] {
        let goes = format!("goes to {}-{app},", scope.prefix());
        lb.explained(&[&host], true, &[by, &goes]);
        assert_eq!(lb.served_from(&host), app);
    }
    let near = format!("*.{0} stands for hosts below {0} alone", scope.host("exact"));
    lb.explained(&[&scope.host("exact")], true, &[&near]);

    let strict = Lb::start();
    strict.ready(&scope.host("a.exact"), 1);
    let www = format!("www.{fallback}");
    strict.explained(&[&www], false, &["gets 503 (no_route)", "without www.", "VIRTUAL_HOST="]);
    assert_eq!(strict.get(&www, "/").status, 503);
}

fn a_client_goes_to_the_container_that_is_named(scope: &Scope) {
    let host = scope.host("app");
    for name in ["a", "b", "c"] {
        scope.app(name).hosts(&["app"]).label("lb.algorithm", "maglev").start();
    }
    let lb = Lb::with(|lb| {
        // So that this client can be many.
        lb.env("LB_PROXY_PROTOCOL", "true");
    });
    lb.ready(&host, 3);
    let mut owners = HashSet::new();
    for n in 1..40 {
        let client = format!("10.{n}.0.1");
        let (served, text) = lb.explain(&[&host, "--client", &client, "--json"]);
        let explained: Value = serde_json::from_str(&text).unwrap();
        let route = &explained["request"]["route"];
        assert!(served && route["key"] == client, "{text}");
        let said = route["goes"]["to"]["endpoint"].as_str().unwrap().to_owned();
        let done = served_from(&lb, &host, &client);
        assert_eq!(said, format!("{}-{done}", scope.prefix()), "{client}");
        owners.insert(said);
    }
    assert_eq!(owners.len(), 3);
    let whose = lb.explained(&[&host], true, &["goes to one of 3", "see --client"]);
    assert!(whose.contains("of all clients; each client has one"), "{whose}");
}

/// Who answers this client, as a proxy in front would announce it.
#[track_caller]
fn served_from(lb: &View, host: &str, client: &str) -> String {
    let mut stream = TcpStream::connect(lb.address).unwrap();
    let proxied = format!("PROXY TCP4 {client} 10.0.0.1 1000 80\r\n");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all((proxied + &request).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.and_then(greeter).unwrap_or_else(|| panic!("{answer}")).to_owned()
}
