//! Commands that show a balancer in a terminal.

use serde_json::Value;
use tokio::{net::TcpListener, process::Command};

use crate::{
    lb::{self, Lb, output},
    load::Trickle,
    site::Site,
};

/// What a command prints that asks this balancer, what it complains of, and its code.
async fn ask(admin: &str, args: &[&str]) -> (i32, String, String) {
    let mut command: Command = lb::command();
    command.env("LB_ADMIN", admin).args(args);
    let output = output(command).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn printed(lb: &Lb, args: &[&str]) -> String {
    let (code, text, error) = ask(&lb.admin.to_string(), args).await;
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    text
}

async fn with(upstream: &str) -> Lb {
    Lb::start(|lb| {
        lb.env("LB_UPSTREAM", upstream);
    })
    .await
}

#[tokio::test]
async fn endpoints_are_a_table_or_what_is_answered() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let lb = with(&format!("app.local={},{}", one.address, two.address)).await;
    lb.ready("app.local", 2).await;
    let table = printed(&lb, &["endpoints"]).await;
    let mut lines = table.lines();
    let titles: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(titles[..4], ["SERVICE", "ENDPOINT", "STATE", "ADDRESS"]);
    for site in [&one, &two] {
        let address = site.address.to_string();
        let found = table.lines().filter(|line| {
            let cells: Vec<_> = line.split_whitespace().collect();
            cells.starts_with(&["app.local", &address, "ready", &address, "1", "0", "round_robin"])
        });
        assert_eq!(found.count(), 1, "{table}");
    }
    assert!(!table.contains('\x1b'), "it is no terminal: {table}");
    let json = printed(&lb, &["endpoints", "--json"]).await;
    assert_eq!(json, lb.ask("/endpoints").await.1);

    // A listener on every address is asked on the loopback.
    let any = format!("0.0.0.0:{}", lb.admin.port());
    let (code, text, _) = ask(&any, &["endpoints"]).await;
    assert_eq!((code, text), (0, table));
}

#[tokio::test]
async fn who_reads_only_the_beginning_of_it_is_served() {
    let site = Site::start("one");
    let lb = with(&format!("app.local={}", site.address)).await;
    lb.ready("app.local", 1).await;
    for args in [&["endpoints", "--json"][..], &["explain", "app.local"], &["top", "--once"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = lb::command();
        command.env("LB_ADMIN", lb.admin.to_string()).args(args).stdout(writer);
        let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), error.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test]
async fn who_can_t_be_asked_is_told_with_what_would_help() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let other = Site::start("other");
    for args in [&["endpoints"][..], &["explain", "app.local"], &["top", "--once"]] {
        let (code, text, error) = ask(&nobody, args).await;
        assert_eq!((code, text.as_str()), (1, ""), "{args:?}");
        let begins = format!("lb-bin: nobody answers at http://{nobody}: does the balancer run");
        assert!(error.starts_with(&begins) && error.contains("LB_ADMIN"), "{error}");
        let (code, _, error) = ask("off", args).await;
        assert_eq!(code, 1);
        assert!(error.contains("the admin listener is off (--admin, LB_ADMIN)"), "{error}");
        let (code, _, error) = ask("elsewhere", args).await;
        assert_eq!(code, 2);
        assert!(error.starts_with("lb-bin: LB_ADMIN is \"elsewhere\""), "{error}");
        // Something that is no balancer answers.
        let (code, _, error) = ask(&other.address.to_string(), args).await;
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("is the balancer of this version"), "{error}");
    }
    for (args, words) in [
        (&["explain", "a.local", "--client", "me"][..], "--client"),
        (&["explain", "a.local", "--header", "nothing"], "write 'Name: value'"),
        (&["explain"], "CONTAINER|HOST|URL"),
        (&["top", "--interval", "1ms"], "every 250ms"),
        (&["top", "--interval", "1"], "write a time such as 1s"),
    ] {
        let (code, _, error) = ask(&nobody, args).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
}

#[tokio::test]
async fn what_is_explained_is_printed_and_told_by_the_code() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let (control, folder) = (lb::control(), tempfile::tempdir().unwrap());
    let path = folder.path().join("lb.toml");
    let service = format!(
        "[[service]]\nhost = \"app.local\"\nalgorithm = \"rendezvous\"\nendpoints = [\"{}\", \"{}\"]\n",
        one.address, two.address
    );
    std::fs::write(&path, service).unwrap();
    let lb = Lb::start(|lb| {
        lb.arg("--config").arg(&path).env("LB_CONTROL", &control);
        lb.env("TRUST_DOWNSTREAM_PROXY", "true");
    })
    .await;
    lb.ready("app.local", 2).await;
    let text = printed(&lb, &["explain", "App.local:8080"]).await;
    assert!(text.starts_with("http://app.local goes to one of 2.\n"), "{text}");
    assert!(text.contains("rendezvous: a client stays with its container"), "{text}");

    let admin = lb.admin.to_string();
    for n in 0..20 {
        let header = format!("X-Forwarded-For: 192.0.2.{n}");
        let json = printed(&lb, &["explain", "app.local", "--json", "--header", &header]).await;
        let answer: Value = serde_json::from_str(&json).unwrap();
        let said = answer["request"]["route"]["goes"]["to"]["endpoint"].as_str().unwrap();
        let (one_before, two_before) = (one.requests(), two.requests());
        let mut client = lb.client().await;
        let done = client.get("app.local", &format!("/ HTTP/1.1\r\n{header}\r\nx: /")).await;
        assert_eq!(done.unwrap().status, 200);
        let asked = (one.requests() - one_before, two.requests() - two_before);
        let by = if said == one.address.to_string() { (1, 0) } else { (0, 1) };
        assert_eq!(asked, by, "{header}");
    }

    let name = one.address.to_string();
    lb::tell(&control, &["drain", &name]).await.unwrap();
    let (code, text, _) = ask(&admin, &["explain", &name]).await;
    assert_eq!(code, 1);
    assert!(text.starts_with(&format!("{name} gets no requests: it is drained.\n")), "{text}");
    assert!(text.contains(&format!("lb-bin undrain {name}")), "{text}");
    // Nobody knows whether a server that is configured runs.
    assert!(!text.contains("it runs"), "{text}");

    let (code, text, _) = ask(&admin, &["explain", "ap.local"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("503 (no_route)") && text.contains("it is spelled app.local"), "{text}");
    let (code, text, _) = ask(&admin, &["explain", "https://app.local/"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("no HTTPS is served here"), "{text}");
    let (code, _, error) = ask(&admin, &["explain", "ftp://app.local/"]).await;
    assert_eq!(code, 1);
    assert!(error.contains("write app.local, app.local:8080 or https://"), "{error}");
    assert_eq!(lb.ask("/explain").await.0, 400);
}

#[tokio::test]
async fn top_prints_traffic_once_where_there_is_no_terminal() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let lb = with(&format!("app.local={},{}", one.address, two.address)).await;
    lb.ready("app.local", 2).await;
    let _traffic = Trickle::start(lb.address(), "app.local");
    for args in [&["top", "--once"][..], &["top", "--interval", "500ms"]] {
        let text = printed(&lb, args).await;
        let of = |name: &str| -> Vec<&str> {
            let line = text.lines().find(|line| line.trim_start().starts_with(name));
            line.unwrap_or_else(|| panic!("{name}: {text}")).split_whitespace().collect()
        };
        let rate = |cells: &[&str], at: usize| cells[at].parse::<f64>().unwrap();
        let service = of("app.local");
        assert_eq!(service[1..3], ["2/2", "ready"]);
        let whole = rate(&service, 3);
        assert!(whole > 0.0, "{text}");
        assert_eq!(service[4], "0", "{text}");
        assert!(service[5].ends_with('s') && service[6].ends_with('s'), "{text}");
        for site in [&one, &two] {
            let endpoint = of(&site.address.to_string());
            assert_eq!(endpoint[1], "ready");
            let share = rate(&endpoint, 2) / whole;
            assert!((0.4..0.6).contains(&share), "{text}");
        }
        assert!(text.contains("requests/s") && !text.contains('\x1b'), "{text}");
    }
}
