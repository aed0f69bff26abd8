//! The processor time that proxies spend on a request, beside nginx.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use benches::{
    contest::{Contender, Rules, all_listen, free, lb, measure, server},
    load::Workload,
    process::Process,
};
use clap::Parser;

/// Compare the processor time of lb-bin with nginx and HAProxy.
#[derive(Parser)]
struct Arguments {
    /// The release build of lb-bin to measure.
    #[arg(long, default_value = "target/release/lb-bin")]
    lb_bin: PathBuf,
    /// Workloads: a small GET, b 10 KiB, d connection per request, e POST 1 KiB.
    #[arg(long, default_value = "abde")]
    workloads: String,
    #[command(flatten)]
    rules: Rules,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let upstream = server()?;

    let reference = nginx(folder, upstream)?;
    let (admin, log) = (free()?.to_string(), folder.join("access.log"));
    let flags = ["--admin", &admin, "--access-log", &log.to_string_lossy()];
    let mut contenders = vec![lb("lb-bin", &arguments.lb_bin, upstream, &flags)?];
    match haproxy(folder, upstream) {
        Ok(haproxy) => contenders.push(haproxy),
        Err(error) => eprintln!("without HAProxy: {error:#}"),
    }
    all_listen(contenders.iter().chain([&reference])).await?;

    println!("processor time per request, ratio to nginx (lower is better), median [95 %]");
    println!("lb-bin: metrics on, access log to a file, retries armed; others: no access log");
    for workload in arguments.workloads.chars().filter_map(Workload::by_letter) {
        measure(&arguments.rules, &reference, &contenders, &workload).await?;
    }
    Ok(())
}

fn nginx(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Contender> {
    let address = free()?;
    let prefix = folder.display();
    let file = folder.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; pid {prefix}/nginx.pid; error_log {prefix}/error.log;
             events {{ worker_connections 4096; }}
             http {{
               access_log off; keepalive_requests 100000000;
               client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy;
               fastcgi_temp_path {prefix}/fastcgi; uwsgi_temp_path {prefix}/uwsgi;
               scgi_temp_path {prefix}/scgi;
               upstream app {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
               server {{
                 listen {address}; server_name bench.local;
                 location / {{
                   proxy_pass http://app; proxy_http_version 1.1;
                   proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
                   proxy_set_header X-Real-IP $remote_addr;
                   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                   proxy_set_header X-Forwarded-Proto $scheme;
                   proxy_set_header X-Forwarded-Host $http_host;
                   proxy_set_header X-Forwarded-Port $server_port;
                 }}
               }}
             }}"
        ),
    )?;
    let process = Process::pinned(
        0,
        Path::new("nginx"),
        &["-c", &file.to_string_lossy(), "-p", &prefix.to_string()],
    )
    .context("the reference is nginx: apt-get install nginx-light")?;
    Ok(Contender { name: "nginx", address, process })
}

fn haproxy(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Contender> {
    let address = free()?;
    let file = folder.join("haproxy.cfg");
    fs::write(
        &file,
        format!(
            "global\n  nbthread 1\n  maxconn 4096\n\
             defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 1s\n  \
             http-reuse always\n  option forwardfor\n\
             frontend in\n  bind {address}\n  http-request set-header X-Real-IP %[src]\n  default_backend app\n\
             backend app\n  server one {upstream}\n"
        ),
    )?;
    let process =
        Process::pinned(0, Path::new("haproxy"), &["-db", "-f", &file.to_string_lossy()])?;
    Ok(Contender { name: "HAProxy", address, process })
}
