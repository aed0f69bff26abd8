//! How the balancer itself ends.

use std::{io, thread};

use crate::{http, lb::Lb, scope::Scope};

super::cases! { sigterm_finishes_the_request_in_flight_and_exits_with_0 }

fn sigterm_finishes_the_request_in_flight_and_exits_with_0(scope: &Scope) {
    let host = scope.host("app");
    let app = scope.app("app").hosts(&["app"]).start();
    let mut lb = Lb::start();
    lb.ready(&host, 1);

    let (address, asked) = (lb.address, host.clone());
    let slow = thread::spawn(move || http::ask(address, "GET", &asked, "/?latency=1500ms"));
    lb.until("the request to be in flight", |now| {
        (now.endpoint(&app.name)?.in_flight == 1).then_some(())
    });
    lb.signal("TERM");
    let answer = slow.join().unwrap().unwrap();
    assert_eq!(answer.served_from(), "app");
    let status = lb.ended();
    assert_eq!(status.code(), Some(0), "{status}: {}", lb.stderr());
    let refused = http::ask(address, "GET", &host, "/").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}
