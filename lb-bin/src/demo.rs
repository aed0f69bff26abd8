//! `lb-bin demo`: the same proxy, over hello servers in this process.

use std::net::{Ipv4Addr, SocketAddr};

use app_bin::{App, Server};
use lb_core::registry::{Binding, HostPattern};

use crate::{
    cli::Demo,
    config::Config,
    configured,
    reload::Read,
    run::{self, Start},
};

/// Answers for every host, as the only service there is.
const HOST: &str = "demo";

pub(crate) fn run(config: Config, read: Read, demo: &Demo) -> anyhow::Result<()> {
    let set_log = run::log(&config.log);
    let runtime = run::runtime()?;
    runtime.block_on(async {
        let mut apps = Vec::new();
        for number in 1..=demo.apps {
            let name = format!("demo-app-{number}");
            let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), App::new(name.clone()))?;
            apps.push((
                name.clone().into(),
                configured::always(name, vec![binding(server.local_addr())]),
            ));
            tokio::spawn(server.run());
        }
        tracing::info!("a demo with {} hello servers in this process; Ctrl-C ends it", demo.apps);
        run::balance(Start {
            config: changed(config),
            read: Box::new(move || read().map(changed)),
            set_log,
            inherited: Vec::new(),
            demo: Some(apps.into_iter().collect()),
        })
        .await
    })
}

/// The demo needs no Docker, and answers for every host.
fn changed(mut config: Config) -> Config {
    config.docker = None;
    config.default_host.get_or_insert_with(|| HOST.into());
    config
}

fn binding(address: SocketAddr) -> Binding {
    Binding::new(HostPattern::Exact(HOST.into()), Some(address))
}
