//! Requests that must not be repeated.

use super::{OnTerm, rounds};
use crate::{
    docker::Container,
    lb::Lb,
    load::{Plan, executions},
    scope::Scope,
};

super::super::cases! { chaos: posts_while_scaling_down }

/// Each POST is looked up in the journals of all the apps, which outlive them.
fn posts_while_scaling_down(scope: &Scope) {
    for on_term in OnTerm::ALL {
        let host = scope.host("app");
        let start = |name: String| {
            on_term.app(scope, &name).hosts(&["app"]).env("APP_JOURNAL", "true").start()
        };
        let lb = Lb::start();
        let mut all = Vec::new();
        // Bodies of one packet, and of many.
        let mut loads = Vec::new();
        let mut stops = 0;
        for round in 0..rounds(1, 5) {
            let new: Vec<_> = (0..4).map(|n| start(format!("{round}-{n}"))).collect();
            if round == 0 {
                lb.ready(&host, 4);
                // Some are being executed whenever one is told to leave.
                let plan = || Plan::new(lb.address, &host).query("latency=20ms");
                loads.push(plan().posts(200).start());
                loads.push(plan().posts(100_000).rate(50, 8).start());
            } else {
                lb.ready(&host, 5);
                stop(all.last().unwrap());
                stops += 1;
            }
            all.extend(new);
            loads[0].go_on(100);
            // One after the other; one stays.
            for leaving in &all[all.len() - 4..all.len() - 1] {
                stop(leaving);
                stops += 1;
                loads[0].go_on(40);
            }
            lb.ready(&host, 1);
        }
        // How many of each load one replica is in the middle of at most, when two are
        // left to share them: 400 and 50 a second, 20 ms each. One more stop's
        // worth is for what takes longer on a busy machine.
        let loads = loads.into_iter().zip([("200 B", 4, ""), ("100 kB", 2, "50 a second; ")]);
        for (load, (bodies, with_one, rate)) in loads {
            let title = format!("POSTs of {bodies} while scaling down, {}", on_term.told());
            let report = load.stop(&title);
            let found = executions(&report, &all);
            let note = format!(
                "{rate}{} executed twice, {} lost, {} of the failed accepted; {stops} stops",
                found.twice.len(),
                found.lost.len(),
                found.unanswered.len()
            );
            report.tabulate(&title, &note);
            assert!(found.twice.is_empty() && found.lost.is_empty(), "{note}: {report}");
            // Who drains or ignores answers what he has accepted. Who exits takes
            // with him what he was in the middle of: nobody may repeat that.
            if matches!(on_term, OnTerm::Exits) {
                assert!(report.failed() <= with_one * (stops + 1), "{report}");
                assert_eq!(report.told() + report.truncated(), report.failed(), "{report}");
            } else {
                assert!(found.unanswered.is_empty(), "{note}: {report}");
                assert_eq!(report.failed(), 0, "{report}");
            }
        }
        all.into_iter().for_each(Container::remove);
    }
}

fn stop(container: &Container) {
    container.docker(&["stop"]);
}
