//! What it can be told over the control socket.

use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt};

use crate::{
    lb::{self, Lb, control, tell},
    site::Site,
};

async fn seen(lb: &Lb) -> HashSet<String> {
    let mut client = lb.client().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let answer = client.get("app.local", "/").await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        seen.insert(answer.body);
    }
    seen
}

#[tokio::test]
async fn a_server_is_drained_and_used_again() {
    let (one, two) = (Site::start("one"), Site::start("two"));
    let name = control();
    let lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={},{}", one.address, two.address));
        lb.env("LB_CONTROL", &name);
    })
    .await;
    lb.ready("app.local", 2).await;
    assert_eq!(seen(&lb).await.len(), 2);

    let one = one.address.to_string();
    let told = tell(&name, &["drain", &one]).await;
    assert_eq!(told, Ok(format!("{one} gets no new requests")));
    assert_eq!(seen(&lb).await.len(), 1);
    let told = tell(&name, &["undrain", &one]).await;
    assert_eq!(told, Ok(format!("{one} gets requests again")));
    lb.ready("app.local", 2).await;
    assert_eq!(seen(&lb).await.len(), 2);
}

#[tokio::test]
async fn what_can_t_be_done_is_said_with_what_would_help() {
    let name = control();
    let site = Site::start("a");
    let _lb = Lb::start(|lb| {
        lb.arg(format!("--upstream=app.local={}", site.address)).env("LB_CONTROL", &name);
    })
    .await;
    let error = tell(&name, &["drain", "nobody"]).await.unwrap_err();
    assert!(
        error.starts_with(r#"1: lb-bin: no routed endpoint has the name or identity "nobody""#),
        "{error}"
    );
    let error = tell(&control(), &["reload"]).await.unwrap_err();
    assert!(error.contains("is the balancer up") && error.contains("--control"), "{error}");
    let error = tell("off", &["reload"]).await.unwrap_err();
    assert!(error.contains("the control socket is off (--control, LB_CONTROL)"), "{error}");
    let error = tell("name", &["reload"]).await.unwrap_err();
    assert!(error.starts_with(r#"2: lb-bin: LB_CONTROL is "name": write a path"#), "{error}");
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_warning() {
    let name = control();
    let start = || {
        Lb::start(|lb| {
            lb.env("LB_CONTROL", &name);
        })
    };
    let (first, second) = (start().await, start().await);
    assert!(!first.log().contains("another process answers"), "{}", first.log());
    second.says("give it another name with --control or LB_CONTROL").await;
}

#[tokio::test]
async fn a_file_is_for_its_owner_replaced_after_a_crash_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let name = path.to_str().unwrap().to_owned();
    let start = || {
        Lb::start(|lb| {
            lb.env("LB_CONTROL", &name);
        })
    };
    let mut crashes = start().await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    crashes.signal("KILL").await;
    crashes.ended().await;
    assert!(path.exists());
    let mut lb = start().await;
    assert_eq!(tell(&name, &["reload"]).await, Ok("the configuration is reloaded".into()));
    lb.signal("TERM").await;
    assert_eq!(lb.ended().await.code(), Some(0));
    assert!(!path.exists());
}

/// Without the file, another balancer would be asked than the one it names.
#[tokio::test]
async fn a_file_that_can_t_be_read_is_an_error_unless_the_socket_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lb.toml");
    fs::write(&path, "control = ").unwrap();
    let name = control();
    let _lb = Lb::start(|lb| {
        lb.env("LB_CONTROL", &name);
    })
    .await;
    let config = path.to_str().unwrap();
    let told = tell(&name, &["reload", "--config", config]).await;
    assert_eq!(told, Ok("the configuration is reloaded".into()));
    let error = tell("", &["reload", "--config", config]).await.unwrap_err();
    assert!(error.starts_with("2: lb-bin: --config is"), "{error}");
}

#[tokio::test]
async fn other_users_are_refused() {
    let name = control();
    let lb = Lb::start(|lb| {
        lb.env("LB_CONTROL", &name);
    })
    .await;
    let mut command = lb::command();
    // Only root can become somebody else. He may not reach this program.
    command.env("LB_CONTROL", &name).arg("reload").uid(65534).gid(65534).current_dir("/");
    let Ok(output) = command.output().await else {
        eprintln!("skipped: can't run a command as another user");
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("user 65534 may not ask: be user"), "{error}");
    assert!(!lb.log().contains("reloaded"), "{}", lb.log());
}
