//! The ACME server, and the DNS it asks.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use hickory_server::{
    proto::rr::{
        Name, RData, Record,
        rdata::{A, SOA},
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command},
    time,
};

/// What is out of the ordinary with it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup {
    /// How long its certificates are good, in seconds.
    pub(crate) validity: Option<u32>,
    /// The one account that it accepts: its name and key.
    pub(crate) external_account: Option<(&'static str, &'static str)>,
}

pub(crate) struct Pebble {
    pub(crate) directory: String,
    /// Whose certificate it has.
    pub(crate) authority: PathBuf,
    _files: TempDir,
    _process: Child,
    _dns: hickory_server::Server<Catalog>,
}

/// Whether there is a pebble. Where everything is tested, there has to be.
pub(crate) fn is_installed() -> bool {
    if std::process::Command::new("pebble").arg("-help").output().is_ok() {
        return true;
    }
    assert!(std::env::var("CI").is_err(), "CI has to have pebble, or this tests nothing");
    eprintln!("skipped: there is no pebble; install Debian's package");
    false
}

impl Pebble {
    /// It asks for challenges at these ports of this machine, whatever the host.
    pub(crate) async fn start(setup: Setup, http: u16, tls: u16) -> Self {
        let (dns, dns_address) = dns().await;
        let files = tempfile::tempdir().unwrap();
        let authority = certificate(files.path());
        loop {
            // Somebody else may take the port in between, so it may be another one.
            let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            let config = files.path().join("pebble.json");
            fs::write(&config, configuration(setup, files.path(), port, http, tls)).unwrap();
            let mut command = Command::new("pebble");
            command.arg("-config").arg(config).args(["-dnsserver", &dns_address.to_string()]);
            command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
            command.env("PEBBLE_WFE_NONCEREJECT", "15");
            command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            let mut process = command.spawn().unwrap();
            if answers(&mut process, port).await {
                let directory = format!("https://127.0.0.1:{port}/dir");
                return Self { directory, authority, _files: files, _process: process, _dns: dns };
            }
        }
    }
}

/// Whether it listens; else it has ended.
async fn answers(process: &mut Child, port: u16) -> bool {
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = process.wait() => false,
        () = listens => process.try_wait().unwrap().is_none(),
    }
}

fn configuration(setup: Setup, files: &Path, port: u16, http: u16, tls: u16) -> String {
    let files = files.display();
    let validity = setup.validity.unwrap_or(90 * 86_400);
    let keys = setup.external_account.map(|(id, key)| format!("{id:?}: {key:?}"));
    let (required, keys) = (keys.is_some(), keys.unwrap_or_default());
    format!(
        r#"{{ "pebble": {{
            "listenAddress": "127.0.0.1:{port}", "managementListenAddress": "",
            "certificate": "{files}/pebble.crt", "privateKey": "{files}/pebble.key",
            "httpPort": {http}, "tlsPort": {tls}, "ocspResponderURL": "",
            "certificateValidityPeriod": {validity},
            "externalAccountBindingRequired": {required},
            "externalAccountMACKeys": {{ {keys} }}
        }} }}"#
    )
}

/// Its own certificate, and the file of who has signed it.
fn certificate(files: &Path) -> PathBuf {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &authority).unwrap();
    fs::write(files.join("pebble.crt"), signed.pem()).unwrap();
    fs::write(files.join("pebble.key"), key.serialize_pem()).unwrap();
    let file = files.join("authority.crt");
    fs::write(&file, authority.pem()).unwrap();
    file
}

/// Every host below `example.test` is this machine.
async fn dns() -> (hickory_server::Server<Catalog>, SocketAddr) {
    let origin = Name::from_ascii("example.test.").unwrap();
    let zone: InMemoryZoneHandler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 1, 1, 1, 0);
    let any = Name::from_ascii("*.example.test.").unwrap();
    for (name, data) in
        [(origin.clone(), RData::SOA(soa)), (any, RData::A(A::from(Ipv4Addr::LOCALHOST)))]
    {
        assert!(zone.upsert(Record::from_rdata(name, 0, data), 1).await);
    }
    let mut catalog = Catalog::new();
    catalog.upsert(origin.into(), vec![Arc::new(zone) as _]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = hickory_server::Server::new(catalog);
    server.register_socket(socket);
    (server, address)
}
