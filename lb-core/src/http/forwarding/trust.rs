use std::{error, fmt, net::IpAddr, str::FromStr, sync::Arc};

use ::http::HeaderMap;
use ipnet::IpNet;

use super::X_FORWARDED_FOR;

/// Who is believed when it says for whom it speaks: proxies in front of this one.
///
/// Written as `true` (everybody), `false` (nobody), or as a list of networks and
/// addresses: `10.0.0.0/8, 192.0.2.7, fd00::/8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust(Who);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Who {
    #[default]
    Nobody,
    Everybody,
    Networks(Arc<[IpNet]>),
}

impl Trust {
    /// No client is believed: each is the first of its chain.
    pub fn nobody() -> Self {
        Self(Who::Nobody)
    }

    /// Every client is believed: right only where all of them are proxies of your
    /// own.
    pub fn everybody() -> Self {
        Self(Who::Everybody)
    }

    /// Whether it doesn't matter who the client is: all are believed.
    pub(crate) fn is_blind(&self) -> bool {
        self.0 == Who::Everybody
    }

    /// Whether this client is believed.
    pub fn believes(&self, client: IpAddr) -> bool {
        match &self.0 {
            Who::Nobody => false,
            Who::Everybody => true,
            Who::Networks(networks) => {
                let client = client.to_canonical();
                networks.iter().any(|network| network.contains(&client))
            }
        }
    }

    /// For whom a client that is believed speaks: going back along the chain, the
    /// first one that isn't believed. `None` if the client speaks for itself, or
    /// if everybody is believed: then the chain may begin with anything.
    pub(super) fn origin(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let Who::Networks(_) = &self.0 else { return None };
        let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().map_while(|line| line.to_str().ok());
        let hops = hops.flat_map(|line| line.rsplit(','));
        let mut origin = None;
        for hop in hops.map_while(|hop| address(hop.trim())) {
            origin = Some(hop);
            if !self.believes(hop) {
                break;
            }
        }
        origin
    }
}

/// Of IPv4 addresses that are written as IPv6 ones, the network that they are in:
/// clients are compared as what they are.
fn canonical(network: IpNet) -> IpNet {
    let ip = network.addr().to_canonical();
    match (network, network.prefix_len().checked_sub(96)) {
        (IpNet::V6(_), Some(prefix)) if ip.is_ipv4() => IpNet::new_assert(ip, prefix),
        _ => network,
    }
}

/// The address of a hop, which some write with its port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(ip, _)| ip);
    let bare = bare.unwrap_or(hop);
    let ip = bare.parse::<IpAddr>().ok().or_else(|| bare.rsplit_once(':')?.0.parse().ok())?;
    Some(ip.to_canonical())
}

/// What was written is none of the forms of a [`Trust`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustError(String);

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network; write true, false, or networks such as 10.0.0.0/8,fd00::/8",
            self.0
        )
    }
}

impl error::Error for TrustError {}

impl FromStr for Trust {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let network = |text: &str| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            let network = text.parse::<IpNet>().or_else(|_| address()).map(canonical);
            network.map_err(|_| TrustError(text.to_owned()))
        };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(Self::everybody()),
            "false" | "0" | "no" => Ok(Self::nobody()),
            list => {
                let networks = list.split(',').map(str::trim).map(network);
                Ok(Self(Who::Networks(networks.collect::<Result<_, _>>()?)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(text: &str) -> Trust {
        text.parse().unwrap()
    }

    #[test]
    fn it_is_everybody_nobody_or_some() {
        let believes = |text: &str, ip: &str| trust(text).believes(ip.parse().unwrap());
        assert!(believes("true", "8.8.8.8") && !believes("no", "127.0.0.1"));
        assert!(believes("::ffff:10.0.0.0/104", "10.1.2.3"), "IPv4 in other words");
        assert!(believes("::ffff:10.1.2.3", "10.1.2.3"));
        for (ip, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd00::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(believes(" 10.0.0.0/8 ,192.0.2.7,FD00::/8", ip), expected, "{ip}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["", "maybe", "10.0.0.0/33", "10.0.0.0/8,,", "10.0.0/8", "proxy.local"] {
            let error = text.parse::<Trust>().unwrap_err().to_string();
            assert!(error.contains("write true, false, or networks"), "{text}: {error}");
        }
        let error = "10.0.0.0/8,nonsense".parse::<Trust>().unwrap_err();
        assert_eq!(error, TrustError("nonsense".into()));
    }

    #[test]
    fn the_origin_is_the_last_one_nobody_vouches_for() {
        let origin = |text: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, line.parse().unwrap());
            }
            trust(text).origin(&headers).map(|ip| ip.to_string())
        };
        let networks = "10.0.0.0/8";
        for (lines, expected) in [
            (&[][..], None),
            (&["203.0.113.1"], Some("203.0.113.1")),
            (&["6.6.6.6, 203.0.113.1, 10.0.0.2"], Some("203.0.113.1")),
            (&["6.6.6.6, 203.0.113.1", "10.0.0.2,10.0.0.3"], Some("203.0.113.1")),
            (&["10.0.0.1, 10.0.0.2"], Some("10.0.0.1")),
            (&["unknown, 10.0.0.2"], Some("10.0.0.2")),
            (&["203.0.113.1:4711"], Some("203.0.113.1")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["junk"], None),
        ] {
            assert_eq!(origin(networks, lines).as_deref(), expected, "{lines:?}");
        }
        assert_eq!(origin("true", &["203.0.113.1"]), None);
    }
}
