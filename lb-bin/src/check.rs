//! `lb-bin check`: is the balancer at the admin address ready?

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::config::Config;

/// Docker gives a health check 30 seconds unless told otherwise; this is sooner.
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    let Some(address) = config.admin else {
        bail!("there is nobody to ask: the admin listener is off (--admin, LB_ADMIN)");
    };
    let address = reachable(address);
    let answer = ask(address).with_context(|| format!("no answer from http://{address}/readyz"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(()),
        _ => {
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            bail!("not ready ({status}): {}", body.trim());
        }
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A listener on every address is asked on the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}
