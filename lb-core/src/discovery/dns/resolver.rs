//! Questions to a DNS server, and whether they were answered.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Hosts, ResolverBuilder, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType, rdata::SRV},
};
use tokio::{task, time};

use super::{Family, Options};

/// What a server says there is. No records at all is an answer, too.
pub(super) struct Answer<T> {
    pub(super) records: Vec<T>,
    /// How long it counts.
    pub(super) ttl: Duration,
}

/// Asks, and remembers nothing but which servers answer quickly.
pub(super) struct Resolver {
    inner: TokioResolver,
    of_system: bool,
    timeout: Duration,
}

impl Resolver {
    /// Reads the configuration of the system, if it is to be used.
    pub(super) async fn new(options: &Options) -> Result<Self, String> {
        let options = options.clone();
        let built = task::spawn_blocking(move || Self::build(&options)).await;
        built.unwrap_or_else(|error| Err(format!("the resolver's configuration: {error}")))
    }

    /// Reads files, which may take its time.
    fn build(options: &Options) -> Result<Self, String> {
        let of_system = options.servers.is_empty();
        let builder = if of_system {
            TokioResolver::builder_tokio().map(|mut builder| {
                adjust(builder.options_mut(), options.timeout);
                builder
            })
        } else {
            let servers = options.servers.iter().map(server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            adjust(builder.options_mut(), options.timeout);
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            Ok(builder)
        };
        let inner = builder.and_then(ResolverBuilder::build);
        let inner = inner.map_err(|error| format!("the resolver's configuration: {error}"))?;
        Ok(Self { inner, of_system, timeout: options.timeout })
    }

    /// Before a new round of questions: nothing that was answered is to be
    /// answered from memory, and the hosts file may have changed.
    pub(super) async fn forget(&mut self) {
        self.inner.clear_cache();
        if self.of_system {
            let read = task::spawn_blocking(|| Hosts::from_system().unwrap_or_default());
            self.inner.set_hosts(Arc::new(read.await.unwrap_or_default()));
        }
    }

    /// The addresses of a name. What one family fails to tell is not made up
    /// for by the other one: the answer is all or nothing.
    pub(super) async fn addresses(
        &self,
        name: &Name,
        family: Family,
    ) -> Result<Answer<IpAddr>, String> {
        let v4 = || self.ask(name, RecordType::A, RData::ip_addr);
        let v6 = || self.ask(name, RecordType::AAAA, RData::ip_addr);
        match family {
            Family::V4 => v4().await,
            Family::V6 => v6().await,
            Family::V4First => match v4().await? {
                none if none.records.is_empty() => v6().await,
                some => Ok(some),
            },
            Family::V6First => match v6().await? {
                none if none.records.is_empty() => v4().await,
                some => Ok(some),
            },
            Family::Both => {
                let (mut both, v6) = tokio::try_join!(v4(), v6())?;
                both.records.extend(v6.records);
                both.ttl = both.ttl.min(v6.ttl);
                Ok(both)
            }
        }
    }

    /// The services that a name lists, or the name that it is an alias of.
    pub(super) async fn services(&self, name: &Name) -> Result<Answer<SRV>, String> {
        let service = |data: &RData| match data {
            RData::SRV(service) => Some(service.clone()),
            _ => None,
        };
        let alias_of = |data: &RData| match data {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        };
        let mut name = name.clone();
        let mut ttl = Duration::MAX;
        for _ in 0..ALIASES {
            let mut answer = self.ask(&name, RecordType::SRV, service).await?;
            if !answer.records.is_empty() {
                answer.ttl = answer.ttl.min(ttl);
                return Ok(answer);
            }
            // hickory follows aliases to addresses, but not to services.
            let mut alias = self.ask(&name, RecordType::CNAME, alias_of).await?;
            let Some(next) = alias.records.pop() else { break };
            name = next;
            ttl = ttl.min(alias.ttl);
        }
        Ok(Answer { records: Vec::new(), ttl })
    }

    async fn ask<T>(
        &self,
        name: &Name,
        record: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, String> {
        let failed = |why: String| format!("{record} records of {name}: {why}");
        let lookup = time::timeout(self.timeout, self.inner.lookup(name.clone(), record)).await;
        let lookup = match lookup {
            Err(_) => return Err(failed(format!("no answer in {:?}", self.timeout))),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => {
                return Ok(Answer { records: Vec::new(), ttl: Duration::MAX });
            }
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Ok(Ok(lookup)) => lookup,
        };
        let answers = lookup.answers();
        // Of the aliases on the way, too.
        let ttl = answers.iter().map(|record| record.ttl).min();
        Ok(Answer {
            records: answers.iter().filter_map(|record| pick(&record.data)).collect(),
            ttl: ttl.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into())),
        })
    }
}

/// As many as are followed to an address.
const ALIASES: usize = 8;

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections.iter_mut().for_each(|connection| connection.port = address.port());
    server
}

fn adjust(options: &mut ResolverOpts, timeout: Duration) {
    // So that a second and a third try fit in.
    options.timeout = options.timeout.min(timeout / 3);
}
