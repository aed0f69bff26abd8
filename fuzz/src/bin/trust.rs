//! Who is believed, and how far back the chain of proxies is. The first line of the
//! input is the list, each other one is the value of an `X-Forwarded-For`.
//!
//! The file is compiled in: the chain has no way from outside but a whole proxy with its
//! sockets, and one is not to be made for tests alone.
#![no_main]

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../lb-core/src/http/forwarding/trust.rs"]
mod trust;

use trust::Trust;

/// What the file takes from the module around it.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let list = lines.next().unwrap_or_default();
    let trust: Trust = match list.parse() {
        Ok(trust) => trust,
        Err(error) => {
            assert!(error.to_string().contains("write true, false, or networks"));
            return;
        }
    };
    assert_eq!(list.to_ascii_uppercase().parse().as_ref(), Ok(&trust));
    let networks: Vec<IpNet> = list.split(',').filter_map(|text| network(text.trim())).collect();
    let ends = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
    // Of a network that reaches from IPv6 into IPv4, an end may be in the other one.
    let is_ours = |ip: &IpAddr| {
        *ip == ip.to_canonical() || networks.iter().all(|network| network.prefix_len() >= 96)
    };
    for ip in ends.filter(is_ours) {
        assert!(trust.believes(ip), "{ip} is in the list");
    }

    let chain: Vec<HeaderValue> = lines.filter_map(|line| line.parse().ok()).collect();
    let origin = |chain: &[HeaderValue]| {
        let lines = chain.iter().map(|line| (X_FORWARDED_FOR, line.clone()));
        trust.origin(&lines.collect::<HeaderMap>())
    };
    let found = origin(&chain);
    if networks.is_empty() {
        assert_eq!(found, None, "who believes all or nobody asks for no origin");
        return;
    }
    let with = |line: &'static str, first: bool| {
        let mut chain = chain.clone();
        chain.insert(if first { 0 } else { chain.len() }, HeaderValue::from_static(line));
        origin(&chain)
    };
    if let Some(ip) = found {
        assert_eq!(ip, ip.to_canonical());
        // Nobody can get past a hop that isn't believed by writing something in front.
        if !trust.believes(ip) {
            assert_eq!(with("203.0.113.66", true), found);
            assert_eq!(with("unknown", true), found);
        }
    }
    // Who is believed adds nothing, who isn't is the origin, and words end the chain.
    let hop = "203.0.113.67";
    let last: IpAddr = hop.parse().expect("an address");
    let expected = if trust.believes(last) { found.or(Some(last)) } else { Some(last) };
    assert_eq!(with(hop, false), expected);
    assert_eq!(with("unknown", false), None);
    // A header in lines is the same header in one.
    let words: Option<Vec<&str>> = chain.iter().map(|line| line.to_str().ok()).collect();
    if let Some(words) = words.filter(|words| !words.is_empty()) {
        let line = words.join(", ").parse().expect("values make a value");
        assert_eq!(origin(&[line]), found);
    }
});

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()))
}
