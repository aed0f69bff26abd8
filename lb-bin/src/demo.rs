//! `lb-bin demo`: the same proxy, over hello servers in this process.

use std::net::{Ipv4Addr, SocketAddr};

use app_bin::{App, Server};
use lb_core::registry::HostPattern;

use crate::{
    cli::Demo,
    config::{Config, HostAndPort, Service},
    run,
};

/// Answers for every host, as the only service there is.
const HOST: &str = "demo";

pub(crate) fn run(mut config: Config, demo: &Demo) -> anyhow::Result<()> {
    run::log(&config.log);
    let runtime = run::runtime()?;
    runtime.block_on(async {
        let mut endpoints = Vec::new();
        for number in 1..=demo.apps {
            let app = App::new(format!("demo-app-{number}"));
            let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), app)?;
            let address = server.local_addr();
            endpoints.push(HostAndPort { host: address.ip().to_string(), port: address.port() });
            tokio::spawn(server.run());
        }
        config.docker = None;
        config.default_host.get_or_insert_with(|| HOST.into());
        let service = Service {
            source: "the demo".into(),
            host: HostPattern::Exact(HOST.into()),
            endpoints,
            algorithm: None,
        };
        tracing::info!("a demo with {} hello servers in this process; Ctrl-C ends it", demo.apps);
        run::balance(config, vec![service]).await
    })
}
