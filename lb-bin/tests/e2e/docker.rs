//! The Docker CLI, as a person uses it.

use std::{ffi::OsStr, net::IpAddr, process::Command, time::Duration};

use crate::{
    http::{self, Answer},
    images,
    scope::{LABEL, Scope},
    wait,
};

/// Where app-bin answers about itself.
const CONTROL: u16 = 8485;

/// Whether there is an engine to test with; else why not.
pub(crate) fn usable() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("only on Linux does the host reach the containers".into());
    }
    let security = attempt(["info", "--format", "{{.SecurityOptions}}"])?;
    if security.contains("rootless") {
        return Err("the engine is rootless: the host doesn't reach its containers".into());
    }
    Ok(())
}

/// Runs the CLI and returns what it printed.
#[track_caller]
pub(crate) fn docker<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> String {
    attempt(args).unwrap()
}

/// The same where it may fail: with what it complained of.
pub(crate) fn attempt<A: AsRef<OsStr>>(
    args: impl IntoIterator<Item = A>,
) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.args(args);
    output(command)
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output(mut command: Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{command:?}: {}: {}", output.status, text(&output.stderr)))
    }
}

/// A hello server that is about to be started.
#[must_use]
pub(crate) struct App<'s> {
    scope: &'s Scope,
    name: String,
    options: Vec<String>,
    checked: bool,
}

impl<'s> App<'s> {
    /// It greets with this name, which its container has after the prefix of the
    /// scope.
    pub(crate) fn new(scope: &'s Scope, name: &str) -> Self {
        let app = Self { scope, name: name.to_owned(), options: Vec::new(), checked: false };
        app.env("APP_NAME", name)
    }

    /// Asks for requests to these hosts of the scope, by the variable of the
    /// exercise.
    pub(crate) fn hosts(self, hosts: &[&str]) -> Self {
        let hosts: Vec<_> = hosts.iter().map(|host| self.scope.host(host)).collect();
        self.env("VIRTUAL_HOST", &hosts.join(","))
    }

    pub(crate) fn env(self, key: &str, value: &str) -> Self {
        self.option(format!("--env={key}={value}"))
    }

    pub(crate) fn label(self, key: &str, value: &str) -> Self {
        self.option(format!("--label={key}={value}"))
    }

    pub(crate) fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Its health check, as the image has it, counts and is quick. All others
    /// have none: they are routed once they accept connections.
    pub(crate) fn checked(mut self) -> Self {
        self.checked = true;
        self.option("--health-interval=300ms")
            .option("--health-timeout=3s")
            .option("--health-retries=1")
    }

    #[track_caller]
    pub(crate) fn start(self) -> Container {
        let name = format!("{}-{}", self.scope.prefix(), self.name);
        let mut args = vec![
            "run".to_owned(),
            "--detach".to_owned(),
            format!("--name={name}"),
            format!("--label={LABEL}={}", self.scope.prefix()),
        ];
        if !self.checked {
            args.push("--no-healthcheck".to_owned());
        }
        args.extend(self.options);
        args.push(images::app().to_owned());
        Container { id: docker(args), name }
    }
}

/// A container that was started. Its scope removes it.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Container {
    /// What `docker VERB` does to it.
    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        docker(args.iter().copied().chain([self.id.as_str()]))
    }

    #[track_caller]
    pub(crate) fn remove(self) {
        self.docker(&["rm", "--force"]);
    }

    #[track_caller]
    pub(crate) fn ip(&self) -> IpAddr {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.docker(&["inspect", "--format", format]).parse().unwrap()
    }

    /// Asks its control port.
    #[track_caller]
    pub(crate) fn control(&self, method: &str, path: &str) -> Answer {
        http::ask((self.ip(), CONTROL).into(), method, "control", path).unwrap()
    }

    /// The same as soon as it listens.
    #[track_caller]
    pub(crate) fn control_soon(&self, method: &str, path: &str) -> Answer {
        let at = (self.ip(), CONTROL).into();
        let state = || self.docker(&["logs"]);
        wait::until("it to listen", state, || http::ask(at, method, "control", path).ok())
    }

    /// How long its server listened before its first request, once there was one.
    #[track_caller]
    pub(crate) fn first_request(&self) -> Option<Duration> {
        let ms = self.told()["first_request_ms"].as_f64()?;
        Some(Duration::from_secs_f64(ms / 1e3))
    }

    /// How many requests its server has got.
    #[track_caller]
    pub(crate) fn requests(&self) -> u64 {
        self.told()["requests"].as_u64().unwrap()
    }

    #[track_caller]
    fn told(&self) -> serde_json::Value {
        serde_json::from_str(&self.control("GET", "/requests").body).unwrap()
    }
}
