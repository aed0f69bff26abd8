//! `lb-bin demo`: the same proxy, over hello servers in this process.

use std::net::{Ipv4Addr, SocketAddr};

use app_bin::{App, Server};
use lb_core::{
    discovery::Fixed,
    registry::{Binding, HostPattern},
};

use crate::{cli::Demo, config::Config, configured, run};

/// Answers for every host, as the only service there is.
const HOST: &str = "demo";

pub(crate) fn run(mut config: Config, demo: &Demo) -> anyhow::Result<()> {
    run::log(&config.log);
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
        config.docker = None;
        config.default_host.get_or_insert_with(|| HOST.into());
        tracing::info!("a demo with {} hello servers in this process; Ctrl-C ends it", demo.apps);
        run::balance(config, Some(apps.into_iter().collect::<Fixed<_>>())).await
    })
}

fn binding(address: SocketAddr) -> Binding {
    Binding { host: HostPattern::Exact(HOST.into()), address: Some(address), algorithm: None }
}
