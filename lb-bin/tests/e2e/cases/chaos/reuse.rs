//! Addresses that go from one service to another.

use std::process::Command;

use super::rounds;
use crate::{
    docker::{Container, docker},
    lb::Lb,
    load::{Load, Plan},
    scope::{Scope, SmallNetwork},
};

super::super::cases! { chaos:
    an_address_changes_hands,
    an_address_changes_hands_while_connects_are_pending,
}

/// Two services take turns at one address, and both are asked all the time. While
/// a service has no replica its requests may fail; none may be answered by the
/// other.
fn an_address_changes_hands(scope: &Scope) {
    let network = scope.small_network();
    let (lb, loads) = asked_all_the_time(scope);
    let mut holder = hold(scope, &network, "a", 2);
    lb.ready(&scope.host("a"), 1);
    loads[0].until("answers", |report| report.from("a") > 0);

    let rounds = rounds(6, 30);
    for round in 0..rounds {
        // Gently and hard: with the address in use to the last, and not.
        if round % 2 == 0 {
            holder.docker(&["stop"]);
        }
        holder.remove();
        let next = (round + 1) % 2;
        let name = ["a", "b"][next];
        holder = hold(scope, &network, name, 2);
        taken_over(&lb, &loads[next], &scope.host(name), name);
    }
    none_wrong(loads, &format!("an address changes hands {rounds} times"));
}

/// Both run on, and are plugged in and pulled out: what the balancer opens to the
/// address meanwhile is neither refused nor accepted, until somebody has it.
fn an_address_changes_hands_while_connects_are_pending(scope: &Scope) {
    let network = scope.small_network();
    let (lb, loads) = asked_all_the_time(scope);
    let containers = ["a", "b"].map(|name| {
        let number = if name == "a" { 2 } else { 3 };
        hold(scope, &network, name, number)
    });
    for host in ["a", "b"] {
        lb.ready(&scope.host(host), 1);
    }
    let (net, address) = (network.name.as_str(), network.address(2));
    let pull = |container: &Container| docker(["network", "disconnect", net, &container.id]);
    pull(&containers[1]);
    let rounds = rounds(6, 30);
    for round in 0..rounds {
        let (old, new) = (round % 2, (round + 1) % 2);
        let name = ["a", "b"][new];
        pull(&containers[old]);
        docker(["network", "connect", "--ip", &address, net, &containers[new].id]);
        taken_over(&lb, &loads[new], &scope.host(name), name);
    }
    none_wrong(loads, &format!("an address is unplugged and changes hands {rounds} times"));
}

/// The new holder is found; and once it has answered for a while, nothing fails any
/// more.
#[track_caller]
fn taken_over(lb: &Lb, load: &Load, host: &str, name: &str) {
    lb.ready(host, 1);
    let more = |number: u64| {
        let goal = load.so_far().from(name) + number;
        load.until("answers of the new holder", |report| report.from(name) >= goal);
        load.so_far().failed()
    };
    let failed = more(50);
    assert_eq!(more(50), failed, "{}", load.so_far());
}

fn asked_all_the_time(scope: &Scope) -> (Lb, [Load; 2]) {
    // What waits for a replica that is gone gives way to what comes next.
    let lb = Lb::with(|lb: &mut Command| {
        lb.env("LB_WAIT", "200ms");
    });
    let loads = ["a", "b"]
        .map(|name| Plan::new(lb.address, &scope.host(name)).rate(200, 16).only(name).start());
    (lb, loads)
}

fn hold(scope: &Scope, network: &SmallNetwork, name: &str, number: u8) -> Container {
    let net = format!("--network={}", network.name);
    let ip = format!("--ip={}", network.address(number));
    scope.app(name).hosts(&[name]).option(net).option(ip).start()
}

/// What failed did so for want of a replica.
#[track_caller]
fn none_wrong(loads: [Load; 2], title: &str) {
    let [a, b] = loads;
    let [a, b] = [a.stop(&format!("{title}, host a")), b.stop(&format!("{title}, host b"))];
    let report = a.and(&b);
    let (wrong, without) = (report.wrong(), report.failed() - report.wrong());
    let note = "answered by the wrong service";
    report.tabulate(
        title,
        format!(
            "200 a second each: {wrong} {note}; {without} refused while their own had no replica"
        ),
    );
    assert_eq!(wrong, 0, "{report}");
    assert!(report.failures.keys().all(|reason| reason.starts_with("503: ")), "{report}");
}
