//! What containers ask for where HTTPS is concerned.

use std::fs;

use crate::{lb::Lb, scope::Scope, wait};

super::cases! {
    a_container_is_served_by_http_and_https_as_it_asks,
}

fn a_container_is_served_by_http_and_https_as_it_asks(scope: &Scope) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["usual", "secret", "shared"].map(|name| scope.host(name)) {
        let made = rcgen::generate_simple_self_signed([name.clone()]).unwrap();
        let path = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(path("crt"), made.cert.pem()).unwrap();
    }
    let shared = scope.host("shared");
    scope.app("usual").hosts(&["usual"]).start();
    scope.app("secret").hosts(&["secret"]).env("HTTPS_METHOD", "nohttp").start();
    scope.app("open").hosts(&["open"]).label("lb.https", "nohttps").start();
    scope.app("asking").hosts(&["asking"]).env("CERT_NAME", &shared).start();
    scope.app("lost").hosts(&["lost"]).env("CERT_NAME", "nothing").start();
    let lb = Lb::with(|lb| {
        lb.arg("--listen-tls=127.0.0.1:0").arg("--certificates").arg(folder.path());
    });
    for (name, status) in
        [("usual", 301), ("secret", 503), ("open", 200), ("asking", 301), ("lost", 200)]
    {
        let host = scope.host(name);
        lb.ready(&host, 1);
        let now = || lb.get(&host, "/").status;
        wait::until(
            &format!("{name}: {status}"),
            || now().to_string(),
            || (now() == status).then_some(()),
        );
    }
    let report = lb.ask_admin("/certificates").body;
    assert!(report.contains(&format!("\"name\": \"{shared}\"")), "{report}");
}
