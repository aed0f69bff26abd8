//! An engine of a case's own, to be stopped and started.
//!
//! Such a case goes on in a process of its own, in namespaces of its own: network,
//! mounts and processes. So the engine's bridge, the containers, the balancer and
//! its client have a network to themselves; and when that process ends, however it
//! ends, the kernel ends all that was started in it.

use std::{
    env, fs,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    Case, Lack, cases,
    docker::{docker, output, usable},
    images,
    scope::{FOLDERS, Scope, run_prefix},
    table, wait,
};

/// Set in the process that is inside: to the folder of the engine, and to the name
/// of the case.
const INSIDE: &str = "LB_E2E_INSIDE";
const CASE: &str = "LB_E2E_CASE";

/// In that folder: the one with the engine's socket, the images, the engine's
/// settings, and the rows of the table.
const API: &str = "api";
const ARCHIVE: &str = "images.tar";
const SETTINGS: &str = "daemon.json";
const ROWS: &str = "rows.json";

/// Whether this is the process inside.
pub(crate) fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// What the process inside does.
pub(crate) fn inside() {
    let name = env::var(CASE).unwrap();
    let case = cases::all().find(|case| case.name == name).unwrap();
    (case.run)(&Scope::new(0));
    let rows = Path::new(&env::var_os(INSIDE).unwrap()).join(ROWS);
    fs::write(rows, serde_json::to_string(&table::rows()).unwrap()).unwrap();
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

/// Runs this case in a process of its own, where it can have an [`Engine`]; fails if
/// that fails.
pub(crate) fn go_inside(case: &Case) {
    let prefix = format!("{}-", run_prefix());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(FOLDERS).unwrap();
    let archive = folder.path().join(ARCHIVE);
    docker(["save", "--output", archive.to_str().unwrap(), images::app(), images::lb()]);
    fs::create_dir(folder.path().join(API)).unwrap();
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
        .env(CASE, case.name)
        .env("APP_IMAGE", images::app())
        .env("LB_IMAGE", images::lb())
        .env("DOCKER_HOST", host(folder.path()))
        .status()
        .unwrap();
    remove_cgroups(&name_of(folder.path()));
    if let Ok(rows) = fs::read_to_string(folder.path().join(ROWS)) {
        let rows: Vec<table::Row> = serde_json::from_str(&rows).unwrap();
        rows.into_iter().for_each(table::add);
    }
    assert!(status.success(), "inside: {status}");
}

/// The control groups of an engine are called as its folder.
fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folders of control groups: one, or one for each controller.
fn cgroups() -> impl Iterator<Item = PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_dir(root).into_iter().flatten().flatten();
    let controllers = controllers.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
    controllers.map(|entry| entry.path()).chain([root.to_owned()])
}

/// The control groups that engines of this suite have left behind, by name.
pub(crate) fn left_cgroups() -> Vec<String> {
    let all = cgroups().flat_map(fs::read_dir).flatten().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Removes those of an engine that runs no more: the kernel keeps them otherwise.
pub(crate) fn remove_cgroups(name: &str) {
    for group in cgroups().map(|folder| folder.join(name)).filter(|group| group.is_dir()) {
        if let Err(error) = remove_group(&group) {
            eprintln!("not removed: {}: {error}", group.display());
        }
    }
}

/// The files in it go with it.
fn remove_group(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Where the engine of this folder is reached.
fn host(folder: &Path) -> String {
    format!("unix://{}/docker.sock", folder.join(API).display())
}

/// The engine of the process inside.
pub(crate) struct Engine {
    folder: PathBuf,
    live_restore: bool,
    process: Option<Child>,
}

impl Engine {
    /// Starts one that has the images.
    pub(crate) fn new() -> Self {
        let folder = PathBuf::from(env::var_os(INSIDE).unwrap());
        prepare(&folder);
        let mut engine = Self { folder, live_restore: true, process: None };
        engine.start();
        docker(["load", "--quiet", "--input", engine.folder.join(ARCHIVE).to_str().unwrap()]);
        engine
    }

    /// Whether its containers are to run on while it is down, from its next start
    /// on. They are, unless this is said.
    pub(crate) fn live_restore(&mut self, live_restore: bool) {
        self.live_restore = live_restore;
    }

    /// The folder that has its socket and nothing else.
    pub(crate) fn api(&self) -> PathBuf {
        self.folder.join(API)
    }

    /// Stops its process in its tracks, and lets it go on.
    pub(crate) fn hang(&self) {
        self.signal("STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    pub(crate) fn start(&mut self) {
        let path = |name: &str| self.folder.join(name);
        let log = File::options().create(true).append(true).open(path("log")).unwrap();
        let process = Command::new("dockerd")
            .arg("--config-file")
            .arg(path(SETTINGS))
            .arg(format!("--live-restore={}", self.live_restore))
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--host", &host(&self.folder)])
            // Those of its containers, to be removed by us.
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .arg(format!("--cgroup-parent=/{}", name_of(&self.folder)))
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
        self.signal("TERM");
        let Some(mut process) = self.process.take() else { return };
        let log = || self.log();
        wait::until("the engine to end", log, || process.try_wait().unwrap());
    }

    fn signal(&self, name: &str) {
        let Some(process) = &self.process else { return };
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &process.id().to_string()]);
        output(kill).unwrap();
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
