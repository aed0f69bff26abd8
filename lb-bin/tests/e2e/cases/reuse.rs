//! Addresses that go from one service to another.

use std::process::Command;

use crate::{
    docker::Container,
    lb::Lb,
    load::{Load, Report},
    scope::{Scope, SmallNetwork},
};

super::cases! { an_address_that_is_reused_never_reaches_the_wrong_service }

const ROUNDS: usize = 6;

/// Two services take turns at one address, and both are asked all the time. While
/// a service has no replica its requests may fail; none may be answered by the
/// other.
fn an_address_that_is_reused_never_reaches_the_wrong_service(scope: &Scope) {
    let network = scope.small_network();
    let hosts = ["a", "b"].map(|name| scope.host(name));
    // What waits for a replica that is gone gives way to what comes next.
    let impatient = |lb: &mut Command| {
        lb.env("LB_WAIT", "200ms");
    };
    let lb = Lb::with(impatient);
    let mut holder = hold(scope, &network, "a");
    lb.ready(&hosts[0], 1);
    let loads = hosts.each_ref().map(|host| Load::at(lb.address, host, 200, 16));
    loads[0].until("answers", |report| report.from("a") > 0);

    for round in 0..ROUNDS {
        // Gently and hard: with the address in use to the last, and not.
        if round % 2 == 0 {
            holder.docker(&["stop"]);
        }
        holder.remove();
        let next = (round + 1) % 2;
        let name = ["a", "b"][next];
        let before = loads[next].so_far().from(name);
        holder = hold(scope, &network, name);
        loads[next].until("answers of the new holder", |report| report.from(name) > before + 50);
    }

    let [a, b] = loads;
    let title = format!("one address, {ROUNDS} changes of hands");
    only(&a.stop(&format!("{title}, host a")), "a");
    only(&b.stop(&format!("{title}, host b")), "b");
}

fn hold(scope: &Scope, network: &SmallNetwork, name: &str) -> Container {
    let (net, ip) = (format!("--network={}", network.name), format!("--ip={}", network.address(2)));
    scope.app(name).hosts(&[name]).option(net).option(ip).start()
}

/// Nobody else answered, and what failed did so for want of a replica.
#[track_caller]
fn only(report: &Report, name: &str) {
    assert_eq!(report.by.keys().collect::<Vec<_>>(), [name], "{report}");
    assert!(report.failures.keys().all(|reason| reason.starts_with("503: ")), "{report}");
}
