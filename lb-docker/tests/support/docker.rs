//! Containers, networks and the image of these tests. Each removes itself.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A name that nobody else has, told apart by process and number.
pub(crate) fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("lbt-docker-{}-{kind}{number}", std::process::id())
}

fn label() -> String {
    format!("lbt-docker={}", std::process::id())
}

/// Runs the client of the engine; its output without the last line break.
#[track_caller]
pub(crate) fn docker(args: &[&str]) -> String {
    try_docker(args).unwrap_or_else(|error| panic!("docker {args:?}: {error}"))
}

pub(crate) fn try_docker(args: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The image, and whatever else a failed test left behind, until it is dropped.
pub(crate) struct Image {
    plain: String,
    checked: String,
}

impl Image {
    /// Made from nothing but a C program, as there may be no registry.
    pub(crate) fn build() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/app.c");
        let compiled = Command::new("cc")
            .args(["-static", "-O1", "-o"])
            .arg(directory.path().join("app"))
            .arg(source)
            .status();
        assert!(compiled.expect("a C compiler").success());
        let import = |kind: &str, changes: &[&str]| {
            let tag = format!("{}:1", unique(kind));
            let mut tar = Command::new("tar")
                .args(["c", "app"])
                .current_dir(directory.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("tar");
            let mut command = Command::new("docker");
            command.arg("import");
            for change in changes {
                command.args(["--change", change]);
            }
            let imported = command
                .args(["-", &tag])
                .stdin(tar.stdout.take().expect("its output"))
                .stdout(Stdio::null())
                .status();
            assert!(imported.expect("docker").success());
            assert!(tar.wait().expect("tar").success());
            tag
        };
        let common = [r#"ENTRYPOINT ["/app"]"#, "EXPOSE 8080", "EXPOSE 53/udp"];
        let check =
            r#"HEALTHCHECK --interval=200ms --timeout=5s --retries=1 CMD ["/app", "check"]"#;
        Self {
            plain: import("plain", &common),
            checked: import("checked", &[&common[..], &[check]].concat()),
        }
    }

    /// Runs a container with these options of `docker run`.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str]) -> Container {
        Container::run(&self.plain, options, &[])
    }

    /// With arguments for the program.
    #[track_caller]
    pub(crate) fn run_with(&self, options: &[&str], args: &[&str]) -> Container {
        Container::run(&self.plain, options, args)
    }

    /// With a health check.
    #[track_caller]
    pub(crate) fn run_checked(&self, options: &[&str]) -> Container {
        Container::run(&self.checked, options, &[])
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let filter = format!("label={}", label());
        let left = try_docker(&["ps", "-aq", "--filter", &filter]).unwrap_or_default();
        for id in left.lines() {
            let _ = try_docker(&["rm", "-f", id]);
        }
        let _ = try_docker(&["rmi", &self.plain, &self.checked]);
    }
}

pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Container {
    #[track_caller]
    fn run(image: &str, options: &[&str], args: &[&str]) -> Self {
        let (name, label) = (unique("c"), label());
        let fixed = ["run", "-d", "--name", &name, "--label", &label];
        let id = docker(&[&fixed, options, &[image], args].concat());
        Self { id, name }
    }

    /// Runs the program once more in it.
    #[track_caller]
    pub(crate) fn exec(&self, arg: &str) {
        docker(&["exec", &self.id, "/app", arg]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-f", &self.id]);
    }
}

pub(crate) struct Network {
    pub(crate) name: String,
}

impl Network {
    /// Networks are taken in the order of their names; so are these.
    pub(crate) fn create() -> Self {
        let (name, label) = (unique("n"), label());
        docker(&["network", "create", "--label", &label, &name]);
        Self { name }
    }

    #[track_caller]
    pub(crate) fn connect(&self, container: &Container) {
        docker(&["network", "connect", &self.name, &container.id]);
    }

    #[track_caller]
    pub(crate) fn disconnect(&self, container: &Container) {
        docker(&["network", "disconnect", &self.name, &container.id]);
    }

    /// The address a container has on it.
    #[track_caller]
    pub(crate) fn address(&self, container: &Container) -> String {
        let format =
            format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", self.name);
        docker(&["inspect", "--format", &format, &container.id])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = try_docker(&["network", "rm", &self.name]);
    }
}
