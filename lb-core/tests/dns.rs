//! Discovery from DNS, against a DNS server whose zone the tests change.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use hickory_server::{
    proto::rr::{
        Name, RData, Record, RecordSet, RecordType, RrKey,
        rdata::{CNAME, SOA, SRV},
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use lb_core::{
    Change,
    discovery::{
        Status,
        dns::{self, Dns, Family},
    },
};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::timeout,
};

/// What is waited for comes long before.
const BOUND: Duration = Duration::from_secs(20);

/// Asks so often that no test has to wait long.
fn eager(dns: Dns, server: SocketAddr) -> Dns {
    let millis = Duration::from_millis;
    dns.servers([server]).ttl(millis(20)..=millis(60)).timeout(millis(600))
}

fn addresses(server: &Server) -> Dns {
    eager(dns::addresses("api.lb.example.", 80).unwrap(), server.address)
}

fn services(server: &Server) -> Dns {
    eager(dns::services("_http._tcp.lb.example.").unwrap(), server.address)
}

/// The next set, as `address priority/weight`.
async fn next(dns: &mut Dns) -> Vec<String> {
    let change = timeout(BOUND, dns.next()).await.expect("no change");
    let Some(Change::Reset(set)) = change else { panic!("{change:?}") };
    set.into_iter()
        .map(|(id, endpoint)| {
            assert_eq!(id.as_str(), endpoint.target.to_string());
            format!("{id} {}/{}", endpoint.priority, endpoint.weight)
        })
        .collect()
}

/// The trouble that comes, with the set as it was.
async fn trouble(dns: &mut Dns, expected: &str) {
    let status = dns.status();
    let is_expected = |error: &Option<String>| error.as_ref().is_some_and(|e| e.contains(expected));
    let seen = status.wait_for(|report| is_expected(&report.last_error));
    let watch = async {
        tokio::select! {
            report = seen => assert!(report.is_some()),
            change = dns.next() => panic!("{change:?}"),
        }
    };
    let waited = timeout(BOUND, watch).await;
    waited.unwrap_or_else(|_| panic!("{expected:?} expected, not {:?}", status.report()));
}

/// All is well again, with the set as it was.
async fn recovery(dns: &mut Dns) {
    let status: Status = dns.status();
    tokio::select! {
        report = status.wait_for(|report| report.last_error.is_none()) => assert!(report.is_some()),
        change = dns.next() => panic!("{change:?}"),
        () = tokio::time::sleep(BOUND) => panic!("{:?}", status.report()),
    }
}

#[tokio::test]
async fn addresses_are_asked_for_again_when_their_time_has_passed() {
    let server = Server::start().await;
    server.set("api", 1, ips(["10.0.0.2", "10.0.0.1"])).await;
    let dns = dns::addresses("api.lb.example.", 8080).unwrap();
    let mut dns = dns.servers([server.address]).ttl(Duration::from_millis(20)..=BOUND);
    let asked = Instant::now();
    assert_eq!(next(&mut dns).await, ["10.0.0.1:8080 0/1", "10.0.0.2:8080 0/1"]);
    assert!(dns.status().report().synced);

    server.set("api", 0, ips(["10.0.0.1", "10.0.0.3"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.1:8080 0/1", "10.0.0.3:8080 0/1"]);
    assert!(asked.elapsed() >= Duration::from_secs(1), "sooner than the server said");

    // A time of 0 is the least that is allowed: the second answer is had soon.
    let asked = Instant::now();
    server.set("api", 0, ips(["10.0.0.4"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.4:8080 0/1"]);
    assert!(asked.elapsed() < BOUND / 2);
}

#[tokio::test]
async fn an_answer_counts_no_longer_than_is_allowed() {
    let server = Server::start().await;
    server.set("api", 86400, ips(["10.0.0.1"])).await;
    let mut dns = addresses(&server);
    next(&mut dns).await;
    server.set("api", 86400, ips(["10.0.0.2"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.2:80 0/1"]);
}

#[tokio::test]
async fn a_server_that_is_down_changes_nothing() {
    let mut server = Server::start().await;
    server.set("api", 0, ips(["10.0.0.1"])).await;
    let mut dns = addresses(&server);
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1"]);
    server.stop().await;
    trouble(&mut dns, "A records of api.lb.example.: ").await;
    assert!(dns.status().report().synced);
    server.restart().await;
    recovery(&mut dns).await;
    server.set("api", 0, ips(["10.0.0.2"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.2:80 0/1"]);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let mute = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = dns::addresses("api.lb.example.", 80).unwrap();
    let mut dns = eager(dns, mute.local_addr().unwrap());
    trouble(&mut dns, "A records of api.lb.example.: ").await;
    assert!(!dns.status().report().synced);
}

#[tokio::test]
async fn a_name_that_goes_keeps_its_addresses() {
    let server = Server::start().await;
    let mut dns = addresses(&server);
    trouble(&mut dns, "api.lb.example. has no address").await;
    server.set("api", 0, ips(["10.0.0.1"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1"]);
    server.unset("api", RecordType::A).await;
    trouble(&mut dns, "api.lb.example. has no address").await;
    server.set("api", 0, ips(["10.0.0.1"])).await;
    recovery(&mut dns).await;
    // The name stays, and has other records only.
    server.set("api", 0, services_of([(0, 0, 1, "b")])).await;
    server.unset("api", RecordType::A).await;
    trouble(&mut dns, "api.lb.example. has no address").await;
}

#[tokio::test]
async fn families_are_chosen() {
    let server = Server::start().await;
    let with = |family| {
        let dns = dns::addresses("api.lb.example.", 80).unwrap().family(family);
        eager(dns, server.address)
    };
    server.set("api", 0, ips(["::1", "::2"])).await;
    assert_eq!(next(&mut with(Family::V4First)).await, ["[::1]:80 0/1", "[::2]:80 0/1"]);
    trouble(&mut with(Family::V4), "has no address").await;
    server.set("api", 0, ips(["10.0.0.1"])).await;
    for (family, expected) in [
        (Family::V4First, &["10.0.0.1:80 0/1"][..]),
        (Family::V4, &["10.0.0.1:80 0/1"]),
        (Family::V6First, &["[::1]:80 0/1", "[::2]:80 0/1"]),
        (Family::V6, &["[::1]:80 0/1", "[::2]:80 0/1"]),
        (Family::Both, &["10.0.0.1:80 0/1", "[::1]:80 0/1", "[::2]:80 0/1"]),
    ] {
        assert_eq!(next(&mut with(family)).await, expected, "{family:?}");
    }
}

#[tokio::test]
async fn aliases_are_followed() {
    let server = Server::start().await;
    let alias = CNAME(name("real"));
    server.set("api", 0, [RData::CNAME(alias)]).await;
    server.set("real", 0, ips(["10.0.0.1"])).await;
    assert_eq!(next(&mut addresses(&server)).await, ["10.0.0.1:80 0/1"]);

    let alias = CNAME(name("_real._tcp"));
    server.set("_http._tcp", 0, [RData::CNAME(alias)]).await;
    server.set("_real._tcp", 0, services_of([(0, 1, 80, "api")])).await;
    assert_eq!(next(&mut services(&server)).await, ["10.0.0.1:80 0/1"]);
}

#[tokio::test]
async fn an_alias_of_itself_leads_nowhere() {
    let server = Server::start().await;
    for label in ["api", "_http._tcp"] {
        server.set(label, 0, [RData::CNAME(CNAME(name(label)))]).await;
    }
    trouble(&mut addresses(&server), "api.lb.example.").await;
    trouble(&mut services(&server), "_http._tcp.lb.example.").await;
}

#[tokio::test]
async fn more_addresses_than_fit_into_a_datagram_are_all_found() {
    let server = Server::start().await;
    let all: Vec<String> = (0..500).map(|n| format!("10.0.{}.{}", n / 250, n % 250)).collect();
    server.set("api", 0, ips(all.iter().map(String::as_str))).await;
    assert_eq!(next(&mut addresses(&server)).await.len(), 500);
}

#[tokio::test]
async fn services_have_priorities_weights_and_ports() {
    let server = Server::start().await;
    let records = [(10, 60, 8001, "a"), (10, 0, 8002, "b"), (20, 5, 8003, "a"), (30, 1, 8004, "c")];
    server.set("_http._tcp", 0, services_of(records)).await;
    server.set("a", 0, ips(["10.0.0.1"])).await;
    server.set("b", 0, ips(["10.0.0.2"])).await;
    server.set("c", 0, ips(["::3"])).await;
    let mut dns = services(&server);
    let expected =
        ["10.0.0.1:8001 10/60", "10.0.0.1:8003 20/5", "10.0.0.2:8002 10/1", "[::3]:8004 30/1"];
    assert_eq!(next(&mut dns).await, expected);
    assert_eq!(dns.status().report().last_error, None);

    server.set("_http._tcp", 0, services_of([(10, 1, 8001, "a")])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.1:8001 10/1"]);
    server.set("a", 0, ips(["10.0.0.9"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.9:8001 10/1"], "the target has moved");
}

#[tokio::test]
async fn a_target_that_can_not_be_found_stays_where_it_was() {
    let server = Server::start().await;
    server.set("_http._tcp", 0, services_of([(0, 1, 80, "a"), (0, 1, 80, "b")])).await;
    server.set("a", 0, ips(["10.0.0.1"])).await;
    let mut dns = services(&server);
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1"]);
    assert!(dns.status().report().synced, "a part is given out");
    trouble(&mut dns, "the target b.lb.example. has no address").await;
    server.set("b", 0, ips(["10.0.0.2"])).await;
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1", "10.0.0.2:80 0/1"]);
    recovery(&mut dns).await;
    server.unset("b", RecordType::A).await;
    trouble(&mut dns, "the target b.lb.example. has no address").await;
    server.unset("a", RecordType::A).await;
    trouble(&mut dns, "the target a.lb.example. has no address").await;
}

#[tokio::test]
async fn a_service_is_given_up_only_if_it_says_so() {
    let server = Server::start().await;
    server.set("_http._tcp", 0, services_of([(0, 1, 80, "a")])).await;
    server.set("a", 0, ips(["10.0.0.1"])).await;
    let mut dns = services(&server);
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1"]);
    server.unset("_http._tcp", RecordType::SRV).await;
    trouble(&mut dns, "_http._tcp.lb.example. lists no service").await;
    let none = RData::SRV(SRV::new(0, 0, 0, Name::root()));
    server.set("_http._tcp", 0, [none]).await;
    assert_eq!(next(&mut dns).await, [""; 0]);
    recovery(&mut dns).await;
}

#[tokio::test]
async fn a_service_without_a_port_is_left_out() {
    let server = Server::start().await;
    server.set("_http._tcp", 0, services_of([(0, 1, 0, "a"), (0, 1, 80, "a")])).await;
    server.set("a", 0, ips(["10.0.0.1"])).await;
    let mut dns = services(&server);
    assert_eq!(next(&mut dns).await, ["10.0.0.1:80 0/1"]);
    trouble(&mut dns, "port=\"0\" of a.lb.example.").await;
}

fn name(label: &str) -> Name {
    Name::from_ascii(format!("{label}.lb.example.")).unwrap()
}

fn ips<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Vec<RData> {
    let data = |address: &str| match address.parse().unwrap() {
        IpAddr::V4(v4) => RData::A(v4.into()),
        IpAddr::V6(v6) => RData::AAAA(v6.into()),
    };
    addresses.into_iter().map(data).collect()
}

/// Of priorities, weights, ports and targets.
fn services_of<const N: usize>(records: [(u16, u16, u16, &str); N]) -> Vec<RData> {
    let data = |(priority, weight, port, target)| {
        RData::SRV(SRV::new(priority, weight, port, name(target)))
    };
    records.into_iter().map(data).collect()
}

struct Server {
    address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    running: hickory_server::Server<Catalog>,
}

impl Server {
    async fn start() -> Self {
        let origin = Name::from_ascii("lb.example.").unwrap();
        let zone = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(name("ns"), name("admin"), 1, 1, 1, 1, 0);
        assert!(zone.upsert(Record::from_rdata(origin, 0, RData::SOA(soa)), 1).await);
        let zone = Arc::new(zone);
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = udp.local_addr().unwrap();
            if let Ok(tcp) = TcpListener::bind(address).await {
                let running = serve(&zone, udp, tcp);
                return Self { address, zone, running };
            }
        }
    }

    async fn stop(&mut self) {
        self.running.shutdown_gracefully().await.unwrap();
    }

    async fn restart(&mut self) {
        let udp = UdpSocket::bind(self.address).await.unwrap();
        let tcp = TcpListener::bind(self.address).await.unwrap();
        self.running = serve(&self.zone, udp, tcp);
    }

    /// These records, all of one type, and no others of that type.
    async fn set(&self, label: &str, ttl: u32, records: impl IntoIterator<Item = RData>) {
        let mut records = records.into_iter().peekable();
        let record_type = records.peek().unwrap().record_type();
        let mut set = RecordSet::new(name(label), record_type, 1);
        for data in records {
            assert!(set.insert(Record::from_rdata(name(label), ttl, data), 1));
        }
        let key = RrKey::new(name(label).into(), record_type);
        self.zone.records_mut().await.insert(key, Arc::new(set));
    }

    async fn unset(&self, label: &str, record_type: RecordType) {
        let key = RrKey::new(name(label).into(), record_type);
        assert!(self.zone.records_mut().await.remove(&key).is_some());
    }
}

fn serve(
    zone: &Arc<InMemoryZoneHandler>,
    udp: UdpSocket,
    tcp: TcpListener,
) -> hickory_server::Server<Catalog> {
    let mut catalog = Catalog::new();
    let origin = Name::from_ascii("lb.example.").unwrap();
    catalog.upsert(origin.into(), vec![Arc::clone(zone) as _]);
    let mut running = hickory_server::Server::new(catalog);
    running.register_socket(udp);
    running.register_listener(tcp, BOUND, 64);
    running
}
