//! Compose, both generations of it.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    Lack,
    docker::{docker, output},
    images,
    lb::View,
    scope::{LABEL, Scope},
};

/// Which Compose.
#[derive(Clone, Copy)]
pub(crate) enum Generation {
    /// `docker compose`, the plugin: version 2 and later.
    Plugin,
    /// `docker-compose` as Python wrote it: version 1.
    Python,
}

impl Generation {
    /// Those that are installed.
    pub(crate) fn installed() -> impl Iterator<Item = Self> {
        [Self::Plugin, Self::Python].into_iter().filter(|generation| generation.needs().is_ok())
    }

    /// Whether one of them is.
    pub(crate) fn any() -> Result<(), Lack> {
        Self::Plugin.needs().or_else(|_| Self::Python.needs())
    }

    /// Whether it is installed. A machine for CI has both.
    pub(crate) fn needs(self) -> Result<(), Lack> {
        let (name, versions): (_, fn(&str) -> bool) = match self {
            Self::Plugin => ("docker compose, version 2 or later", |version| version != "1"),
            Self::Python => ("docker-compose, version 1", |version| version == "1"),
        };
        let mut command = self.command();
        command.args(["version", "--short"]);
        let found = output(command).unwrap_or_default();
        let major = found.trim_start_matches('v').split('.').next().unwrap_or_default();
        if !major.is_empty() && versions(major) {
            Ok(())
        } else {
            Err(Lack { what: format!("{name}, is not installed"), fatal_in_ci: true })
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Plugin => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
            Self::Python => Command::new("docker-compose"),
        }
    }
}

/// A Compose project named after its scope.
pub(crate) struct Project<'s> {
    scope: &'s Scope,
    generation: Generation,
    files: Vec<PathBuf>,
    _folder: TempDir,
}

impl<'s> Project<'s> {
    /// The files in the order in which later ones add to earlier ones; `text` is
    /// the last of them.
    pub(crate) fn new(
        scope: &'s Scope,
        generation: Generation,
        before: &[&Path],
        text: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let last = folder.path().join("compose.yaml");
        fs::write(&last, text).unwrap();
        let files = before.iter().map(|&file| file.to_owned()).chain([last]).collect();
        Self { scope, generation, files, _folder: folder }
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let mut command = self.generation.command();
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        let socket = socket();
        let group = fs::metadata(&socket).unwrap().gid().to_string();
        command
            .args(["--project-name", self.scope.prefix()])
            .args(args)
            .env("APP_IMAGE", images::app())
            .env("LB_IMAGE", images::lb())
            .env("DOCKER_SOCKET", socket)
            .env("DOCKER_GID", group)
            // Ports that are free, whichever these are.
            .env("HTTP_PORT", "0")
            .env("ADMIN_PORT", "0");
        output(command).unwrap()
    }

    /// The ids of a service's containers.
    #[track_caller]
    pub(crate) fn containers(&self, service: &str) -> Vec<String> {
        self.run(&["ps", "-q", service]).lines().map(str::to_owned).collect()
    }

    /// Where a port of a service's only container is on this machine.
    #[track_caller]
    pub(crate) fn published(&self, service: &str, port: u16) -> SocketAddr {
        let containers = self.containers(service);
        let lines = docker(["port", &containers[0], &format!("{port}/tcp")]);
        let (_, port) = lines.lines().next().unwrap().rsplit_once(':').unwrap();
        ([127, 0, 0, 1], port.parse().unwrap()).into()
    }

    /// The balancer that runs as this service.
    #[track_caller]
    pub(crate) fn balancer(&self, service: &str) -> View {
        View { address: self.published(service, 80), admin: self.published(service, 9180) }
    }
}

/// What a service has to say so that its scope removes its containers.
pub(crate) fn label(scope: &Scope) -> String {
    format!("labels: {{ {LABEL}: \"{}\" }}", scope.prefix())
}

/// The engine's socket on this machine.
pub(crate) fn socket() -> String {
    let host = env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}
