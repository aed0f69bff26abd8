//! Sockets that systemd has opened. Python stands in for systemd: it passes
//! sockets on in the same way, with the process id that they are for.

use tokio::process::Command;

use crate::{
    lb::{Lb, Process, with_usual_settings},
    site::Site,
};

/// Opens as many sockets as the first argument says, and becomes the program of
/// the others, in which `SOCKETn` stands for an address.
const ACTIVATE: &str = r#"
import os, socket, sys
count, argv = int(sys.argv[1]), sys.argv[2:]
sockets = []
for n in range(count):
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16)
    sockets.append(os.dup2(s.fileno(), 50 + n))
    address = "127.0.0.1:%d" % s.getsockname()[1]
    argv = [a.replace("SOCKET%d" % n, address) for a in argv]
    s.detach()
for n, fd in enumerate(sockets):
    os.dup2(fd, 3 + n)
os.environ["LISTEN_FDS"] = str(count)
os.environ["LISTEN_PID"] = os.environ.get("PRETEND", str(os.getpid()))
os.execv(argv[0], argv)
"#;

/// The balancer with as many sockets; nothing where there is no Python.
fn activated(sockets: usize, site: &Site, args: &[&str]) -> Option<Command> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var("CI").is_err(), "CI has to have python3, or this tests nothing");
        eprintln!("skipped: there is no python3 to pass sockets on");
        return None;
    }
    let mut command = with_usual_settings(Command::new("python3"));
    command.args(["-c", ACTIVATE, &sockets.to_string(), env!("CARGO_BIN_EXE_lb-bin")]);
    command.arg(format!("--upstream=app.local={}", site.address)).args(args);
    command.env_remove("LB_LISTEN");
    Some(command)
}

#[tokio::test]
async fn they_are_the_listeners_where_nobody_says_others() {
    let site = Site::start("a");
    let Some(mut command) = activated(3, &site, &["--admin=SOCKET1"]) else { return };
    command.env_remove("LB_ADMIN");
    let lb = Lb::run(command).await;
    assert_eq!(lb.addresses.len(), 2);
    assert!(!lb.addresses.contains(&lb.admin));
    lb.ready("app.local", 1).await;
    for address in &lb.addresses {
        let mut client = crate::client::Client::connect(*address).await;
        assert_eq!(client.get("app.local", "/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn those_asked_for_are_used_and_the_others_closed() {
    let site = Site::start("a");
    let Some(command) = activated(2, &site, &["--listen=SOCKET1,127.0.0.1:0"]) else { return };
    let lb = Lb::run(command).await;
    lb.says("nobody asked for the socket on").await;
    assert_eq!(lb.addresses.len(), 2);
    lb.ready("app.local", 1).await;
    assert_eq!(lb.client().await.get("app.local", "/").await.unwrap().status, 200);
}

/// The variables are inherited by every process; the sockets are for one.
#[tokio::test]
async fn sockets_for_another_process_are_left_alone() {
    let site = Site::start("a");
    let Some(mut command) = activated(1, &site, &["--listen=SOCKET0"]) else { return };
    command.env("PRETEND", "1");
    let mut lb = Process::spawn(command);
    assert_eq!(lb.ended().await.code(), Some(1));
    lb.says("Address already in use").await;
}
