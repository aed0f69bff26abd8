//! An engine of a case's own, to be stopped and started.
//!
//! The case goes on in a process of its own, in namespaces of its own: network,
//! mounts and processes. So the engine's bridge, the containers, the balancer and
//! its client have a network to themselves; and when that process ends, however it
//! ends, the kernel ends all that was started in it.

use std::{
    env, fs,
    fs::File,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    Lack, cases,
    docker::{docker, output, usable},
    images,
    scope::{FOLDERS, run_prefix},
    wait,
};

/// Set in the process that is inside: to the folder of the engine.
const INSIDE: &str = "LB_E2E_INSIDE";

/// In that folder: the image of the app, and the engine's settings.
const ARCHIVE: &str = "app.tar";
const SETTINGS: &str = "daemon.json";

/// Whether this is the process inside.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// What the process inside does.
pub(crate) fn inside() {
    cases::engine_restart::inside();
}

/// What a case needs to have an engine of its own.
pub(crate) fn needs() -> Result<(), Lack> {
    root()?;
    for tool in ["dockerd", "unshare", "setpriv", "mount", "ip"] {
        let mut which = Command::new("sh");
        which.args(["-c", &format!("command -v {tool}")]);
        if output(which).is_err() {
            return Err(Lack { what: format!("{tool} is not installed"), fatal_in_ci: false });
        }
    }
    Ok(())
}

/// Whether this is root, who may change who a process runs as.
pub(crate) fn root() -> Result<(), Lack> {
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        Ok(())
    } else {
        Err(Lack { what: "this takes root".into(), fatal_in_ci: false })
    }
}

/// Goes on in [`inside`], in namespaces of its own; fails if that fails.
pub(crate) fn go_inside() {
    let prefix = format!("{}-", run_prefix());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(FOLDERS).unwrap();
    let archive = folder.path().join(ARCHIVE);
    docker(["save", "--output", archive.to_str().unwrap(), images::app()]);
    // Its storage is of the kind that is known to work here.
    let driver = docker(["info", "--format", "{{.Driver}}"]);
    let settings = serde_json::json!({ "storage-driver": driver });
    fs::write(folder.path().join(SETTINGS), settings.to_string()).unwrap();
    let status = Command::new("setpriv")
        // Should this process be killed, nothing is left running.
        .args(["--pdeathsig", "KILL", "unshare", "--kill-child", "--fork"])
        .args(["--net", "--mount", "--pid", "--mount-proc"])
        .arg(env::current_exe().unwrap())
        .env(INSIDE, folder.path())
        .env("APP_IMAGE", images::app())
        .env("DOCKER_HOST", format!("unix://{}", folder.path().join("docker.sock").display()))
        .status()
        .unwrap();
    assert!(status.success(), "inside: {status}");
}

/// The engine of the process inside. It keeps its containers running while it is
/// down.
pub(crate) struct Engine {
    folder: PathBuf,
    process: Option<Child>,
}

impl Engine {
    /// Starts one that has the image of the app.
    pub(crate) fn new() -> Self {
        let folder = PathBuf::from(env::var_os(INSIDE).unwrap());
        prepare(&folder);
        let mut engine = Self { folder, process: None };
        engine.start();
        docker(["load", "--quiet", "--input", engine.folder.join(ARCHIVE).to_str().unwrap()]);
        engine
    }

    pub(crate) fn start(&mut self) {
        let path = |name: &str| self.folder.join(name);
        let log = File::options().create(true).append(true).open(path("log")).unwrap();
        let process = Command::new("dockerd")
            .arg("--config-file")
            .arg(path(SETTINGS))
            .arg("--live-restore")
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--host", &format!("unix://{}", path("docker.sock").display())])
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        wait::until("the engine", || self.log(), || usable().ok());
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let mut kill = Command::new("kill");
        kill.args(["-s", "TERM", &process.id().to_string()]);
        output(kill).unwrap();
        let log = || self.log();
        wait::until("the engine to end", log, || process.try_wait().unwrap());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if thread::panicking() {
            // The rest ends with this process.
            eprintln!("the engine has said:\n{}", self.log());
        } else {
            self.stop();
        }
    }
}

/// Gives this process's namespaces what an engine needs.
fn prepare(folder: &Path) {
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args);
        output(command).unwrap();
    };
    run("ip", &["link", "set", "lo", "up"]);
    // Another engine keeps its state there.
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
    // The engine looks for its bridge in /sys, which shows the network namespace
    // of who mounted it. The control groups below it are kept.
    let aside = folder.join("cgroup");
    let aside = aside.to_str().unwrap();
    fs::create_dir(aside).unwrap();
    run("mount", &["--rbind", "/sys/fs/cgroup", aside]);
    run("mount", &["-t", "sysfs", "sysfs", "/sys"]);
    run("mount", &["--rbind", aside, "/sys/fs/cgroup"]);
}
