//! The images under test: those that the environment names, else built here.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    docker::{attempt, docker, output},
    scope::{LABEL, run_prefix},
};

static APP: OnceLock<Image> = OnceLock::new();
static LB: OnceLock<Image> = OnceLock::new();

/// The image of the hello server.
pub(crate) fn app() -> &'static str {
    &APP.get_or_init(|| Image::get("app")).name
}

/// The image of the balancer.
pub(crate) fn lb() -> &'static str {
    &LB.get_or_init(|| Image::get("lb")).name
}

/// Removes the images that were built.
pub(crate) fn remove() {
    for image in [&APP, &LB].into_iter().filter_map(OnceLock::get).filter(|image| image.own) {
        if let Err(error) = attempt(["image", "rm", &image.name]) {
            eprintln!("not removed: {error}");
        }
    }
}

struct Image {
    name: String,
    /// Built here.
    own: bool,
}

impl Image {
    fn get(stage: &str) -> Self {
        let variable = format!("{}_IMAGE", stage.to_uppercase());
        match env::var(&variable).ok().filter(|name| !name.is_empty()) {
            Some(name) => {
                let found = attempt(["image", "inspect", "--format", "{{.Id}}", &name]);
                assert!(found.is_ok(), "{variable} is {name:?}, which isn't here: make images");
                Self { name, own: false }
            }
            None => Self { name: build(stage), own: true },
        }
    }
}

/// Builds the last stage of this name in the Dockerfile around a binary that the
/// host's cargo compiles: nothing has to be pulled, and little compiled.
fn build(stage: &str) -> String {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let context = tempfile::tempdir().unwrap();
    let binary = format!("{stage}-bin");
    fs::copy(compile(workspace, &binary), context.path().join(&binary)).unwrap();
    let recipe = fs::read_to_string(workspace.join("Dockerfile")).unwrap();
    fs::write(context.path().join("Dockerfile"), of_stage(&recipe, stage)).unwrap();

    let name = format!("{}-{stage}", run_prefix());
    let label = format!("--label={LABEL}={}", run_prefix());
    docker(["build", "--tag", &name, &label, context.path().to_str().unwrap()]);
    name
}

/// Compiles a static binary, which is all that its image holds.
fn compile(workspace: &Path, binary: &str) -> PathBuf {
    let version = output({
        let mut rustc = Command::new("rustc");
        rustc.arg("-vV");
        rustc
    })
    .unwrap();
    let triple = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Where this very build is.
    let target = Path::new(env!("CARGO_BIN_EXE_lb-bin")).ancestors().nth(2).unwrap();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", binary, "--target", triple])
        .arg("--target-dir")
        .arg(target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_DEV_STRIP", "symbols");
    output(build).unwrap();
    target.join(triple).join("debug").join(binary)
}

fn of_stage(recipe: &str, stage: &str) -> String {
    let end = format!(" AS {stage}");
    let lines: Vec<_> = recipe
        .lines()
        .skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&end)))
        .enumerate()
        .take_while(|(at, line)| *at == 0 || !line.starts_with("FROM "))
        .map(|(_, line)| line.replace("--from=build ", ""))
        .collect();
    assert!(!lines.is_empty(), "the Dockerfile has no stage {stage}");
    lines.join("\n")
}
