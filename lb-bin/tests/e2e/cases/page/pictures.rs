//! The pictures of it in the documentation (`make pictures`).

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::Page;
use crate::{
    Case, Lack, browser,
    docker::{Container, docker, output},
    engine::{self, Engine},
    images,
    lb::Lb,
    load::{Load, Plan},
    scope::Scope,
    wait,
};

/// The folder they go into, from the root of the workspace.
const FOLDER: &str = "LB_E2E_PICTURES";

const SHOP: &str = "shop.example.com";
const API: &str = "api.example.com";

// With an engine of its own, nothing else is in the picture, and names are free.
pub(super) const CASES: &[Case] = &[Case {
    name: "pictures_of_the_live_page",
    own_engine: true,
    needs: asked,
    run: pictures_of_the_live_page,
}];

fn asked() -> Result<(), Lack> {
    if env::var_os(FOLDER).is_none() {
        let what = format!("{FOLDER} doesn't say where they go");
        return Err(Lack { what, fatal_in_ci: false });
    }
    engine::needs()?;
    browser::needs()
}

fn pictures_of_the_live_page(_: &Scope) {
    let _engine = Engine::new();
    let lb = Lb::start();
    let shop: Vec<_> = (1..=5).map(|at| app(&format!("shop-app-{at}"), SHOP, &[])).collect();
    let api: Vec<_> = (1..=2).map(|at| app(&format!("shop-api-{at}"), API, &[])).collect();
    app("shop-legacy-1", "old.example.com", &["--env=VIRTUAL_PATH=/old"]);
    app("shop-db-1", "", &[]);
    lb.ready(SHOP, shop.len());
    lb.ready(API, api.len());

    let page = Page::open(&lb);
    let _loads = loads(lb.address);
    let lines = "
        const line = document.querySelector('.line.accent .stroke').getAttribute('d');
        return line.split('L').length > 25";
    let _: bool = page.browser.until(lines, &json!([]));

    // One is told to stop and takes its time, one fails.
    let _stop = Stopping::begin(&shop[3]);
    page.until_state(&shop[3].name, "draining", "");
    shop[2].control("PUT", "/fail");
    page.browser.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
    // On a desk all of the page, on a phone what is seen first.
    for (name, width, height, theme) in [
        ("live-light", 1440, None, "light"),
        ("live-dark", 1440, None, "dark"),
        ("live-phone", 375, Some(900), "light"),
    ] {
        page.size(width, height.unwrap_or(900));
        if height.is_none() {
            page.size(width, page.run("return document.documentElement.scrollHeight"));
        }
        page.prefer(&[("prefers-color-scheme", theme)]);
        // It is tried again now and then.
        page.until_state(&shop[2].name, "ejected", "");
        let flying = || page.painted("flight", 0.0, 1.0);
        let busy = width;
        wait::until("requests", || flying().to_string(), || (flying() > busy).then_some(()));
        let picture = page.browser.devtools("Page.captureScreenshot", &json!({ "format": "png" }));
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(folder().join(format!("{name}.png")), bytes).unwrap();
    }
}

/// Starts a server for a host, with a name that is in nobody's way here.
fn app(name: &str, host: &str, options: &[&str]) -> Container {
    let name = name.to_owned();
    let mut args = vec![
        "run".to_owned(),
        "--detach".to_owned(),
        format!("--name={name}"),
        "--no-healthcheck".to_owned(),
        format!("--env=APP_NAME={name}"),
        format!("--env=VIRTUAL_HOST={host}"),
        "--env=APP_LATENCY=4ms".to_owned(),
        "--env=APP_JITTER=6ms".to_owned(),
        "--env=APP_ON_TERM=ignore".to_owned(),
    ];
    args.extend(options.iter().map(ToString::to_string));
    args.push(images::app().to_owned());
    Container { id: docker(args), name }
}

/// Three clients, some of whose requests end otherwise than well.
fn loads(lb: SocketAddr) -> [Load; 6] {
    let client = |address: &str| {
        let mut add = Command::new("ip");
        add.args(["address", "replace", &format!("{address}/32"), "dev", "lo"]);
        output(add).unwrap();
        address.parse().unwrap()
    };
    let [one, two, three] = ["10.0.0.9", "10.0.0.23", "192.168.7.4"].map(client);
    let plan = |host, rate, from| Plan::new(lb, host).rate(rate, 4).from(from);
    [
        plan(SHOP, 60, one).start(),
        plan(SHOP, 40, two).start(),
        plan(API, 30, three).start(),
        plan(SHOP, 4, two).query("status=404").start(),
        plan(API, 5, one).query("status=301").start(),
        plan("nobody.example.com", 1, three).start(),
    ]
}

/// A container that has been told to stop, and doesn't.
struct Stopping(Child);

impl Stopping {
    fn begin(container: &Container) -> Self {
        let mut stop = Command::new("docker");
        stop.args(["stop", "-t", "600", &container.id]);
        Self(stop.spawn().unwrap())
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = workspace.join(env::var_os(FOLDER).unwrap());
    fs::create_dir_all(&folder).unwrap();
    folder
}
