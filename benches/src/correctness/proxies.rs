//! The proxies that the cases are run against, each as one would start it: one
//! server behind it, and what its documentation has as defaults.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::process::Process;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called so")]
pub enum Kind {
    Lb,
    Nginx,
    Haproxy,
    Caddy,
    Traefik,
    Envoy,
}

/// A proxy that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens, soon.
    pub address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Kind {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 6] =
        [Self::Lb, Self::Nginx, Self::Haproxy, Self::Caddy, Self::Traefik, Self::Envoy];

    /// What its people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lb => "lb-bin",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy",
        }
    }

    /// What it is called on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lb => "lb",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// How it is set up, beyond where it listens and where the server is.
    pub fn setup(self) -> &'static str {
        match self {
            Self::Lb => "`--docker=off --trust-downstream-proxy=false --upstream ADDRESS`",
            Self::Nginx => {
                "`proxy_pass` to an `upstream` with `keepalive`, and what its documentation has for \
                 that: `proxy_http_version 1.1`, an empty `Connection`, `Host $host`; \
                 `X-Forwarded-For $proxy_add_x_forwarded_for`"
            }
            Self::Haproxy => "`mode http`, timeouts, `option forwardfor`",
            Self::Caddy => "`reverse_proxy ADDRESS`",
            Self::Traefik => "the file provider, one router with PathPrefix(`/`)",
            Self::Envoy => "one route with the prefix `/`, the router filter, `use_remote_address`",
        }
    }

    /// What it says of its version.
    ///
    /// # Errors
    ///
    /// The program isn't there.
    pub fn version(self, program: &Path) -> anyhow::Result<String> {
        let argument = match self {
            Self::Lb | Self::Envoy => "--version",
            Self::Nginx | Self::Haproxy => "-v",
            Self::Caddy | Self::Traefik => "version",
        };
        let Output { stdout, stderr, .. } = Command::new(program)
            .arg(argument)
            .output()
            .with_context(|| format!("can't start {}", program.display()))?;
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        // Each says more than that, in a way of its own.
        let number = text
            .split(|letter: char| letter.is_whitespace() || letter == '/')
            .map(|word| word.trim_start_matches('v'))
            .find(|word| {
                word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())
            });
        Ok(number.unwrap_or("of unknown version").to_owned())
    }

    /// Starts it in front of this server.
    ///
    /// # Errors
    ///
    /// The program isn't there, or its configuration can't be written.
    pub fn start(self, program: &Path, upstream: SocketAddr) -> anyhow::Result<Running> {
        let folder = tempfile::tempdir()?;
        let address = free()?;
        let arguments = self.configure(folder.path(), address, upstream)?;
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let process = Process::start(program, &arguments)?;
        Ok(Running { address, _process: process, _folder: folder })
    }

    fn configure(
        self,
        folder: &Path,
        address: SocketAddr,
        upstream: SocketAddr,
    ) -> io::Result<Vec<String>> {
        let at = folder.display();
        let write = |name: &str, text: String| -> io::Result<String> {
            let file = folder.join(name);
            fs::write(&file, text)?;
            Ok(file.display().to_string())
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Ok(match self {
            Self::Lb => words(&[
                "--docker=off",
                "--control=off",
                "--admin=off",
                "--access-log=off",
                "--workers=1",
                "--trust-downstream-proxy=false",
                "--listen",
                &address.to_string(),
                "--upstream",
                &upstream.to_string(),
            ]),
            Self::Nginx => {
                let file = write("nginx.conf", nginx(&at.to_string(), address, upstream))?;
                words(&["-c", &file, "-p", &at.to_string()])
            }
            Self::Haproxy => {
                let text = format!(
                    "global\n  nbthread 1\n\
                     defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  \
                     timeout connect 5s\n  option forwardfor\n\
                     frontend in\n  bind {address}\n  default_backend app\n\
                     backend app\n  server one {upstream}\n"
                );
                words(&["-db", "-f", &write("haproxy.cfg", text)?])
            }
            Self::Caddy => {
                let text = format!(
                    "{{\n  admin off\n  auto_https off\n  persist_config off\n  \
                     storage file_system {at}\n}}\n\
                     http://:{} {{\n  bind {}\n  reverse_proxy {upstream}\n}}\n",
                    address.port(),
                    address.ip(),
                );
                words(&["run", "--adapter", "caddyfile", "--config", &write("Caddyfile", text)?])
            }
            Self::Traefik => {
                let routes = write("routes.yaml", traefik(upstream))?;
                words(&[
                    &format!("--entryPoints.web.address={address}"),
                    &format!("--providers.file.filename={routes}"),
                    "--global.checkNewVersion=false",
                    "--global.sendAnonymousUsage=false",
                ])
            }
            Self::Envoy => {
                let file = write("envoy.yaml", envoy(address, upstream))?;
                words(&["-c", &file, "--concurrency", "1", "--disable-hot-restart", "-l", "off"])
            }
        })
    }
}

/// Where the programs are, unless told otherwise: on the `PATH`.
pub fn program(kind: Kind, lb_bin: &Path, envoy: Option<&Path>) -> PathBuf {
    match (kind, envoy) {
        (Kind::Lb, _) => lb_bin.into(),
        (Kind::Envoy, Some(envoy)) => envoy.into(),
        _ => kind.word().into(),
    }
}

fn nginx(at: &str, address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log;
         events {{ }}
         http {{
           access_log off;
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
           fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
           upstream app {{ server {upstream}; keepalive 16; }}
           server {{
             listen {address}; server_name app.test;
             location / {{
               proxy_pass http://app;
               proxy_http_version 1.1;
               proxy_set_header Connection \"\";
               proxy_set_header Host $host;
               proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
             }}
           }}
         }}"
    )
}

fn traefik(upstream: SocketAddr) -> String {
    format!(
        "http:
  routers:
    all:
      rule: PathPrefix(`/`)
      service: app
  services:
    app:
      loadBalancer:
        servers:
          - url: http://{upstream}
"
    )
}

fn envoy(address: SocketAddr, upstream: SocketAddr) -> String {
    let socket = |address: SocketAddr| {
        format!(
            "{{ socket_address: {{ address: {}, port_value: {} }} }}",
            address.ip(),
            address.port()
        )
    };
    format!(
        "static_resources:
  listeners:
    - address: {}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: in
                use_remote_address: true
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: [\"*\"]
                      routes:
                        - match: {{ prefix: / }}
                          route: {{ cluster: app }}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: app
      type: STATIC
      load_assignment:
        cluster_name: app
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {} }}
",
        socket(address),
        socket(upstream)
    )
}

/// A port that was free a moment ago.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
