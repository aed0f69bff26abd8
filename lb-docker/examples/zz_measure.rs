#![allow(missing_docs, clippy::unwrap_used)]
use futures_util::StreamExt;
use lb_docker::*;
#[tokio::main]
async fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let (mut d, status) =
        DockerDiscovery::new(Options::from_env(|k| std::env::var(k).ok()).unwrap());
    let c = d.next().await.unwrap();
    let all = match c {
        lb_core::Change::Reset(a) => a.len(),
        _ => 0,
    };
    println!(
        "first reset: {all} containers in {:?}, inspects {}",
        t.elapsed(),
        status.report().inspects
    );
    if n > 0 {
        let before = status.report().inspects;
        let mut lat = vec![];
        while let Ok(Some(c)) =
            tokio::time::timeout(std::time::Duration::from_secs(20), d.next()).await
        {
            if let lb_core::Change::Upsert(id, e) = &c {
                let now = std::time::SystemTime::now();
                println!(
                    "{} {} {:?} upsert at {}",
                    &id.as_str()[..12],
                    e.target.name,
                    e.state,
                    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
                );
                lat.push(now);
            } else {
                println!("{c:?}");
            }
            if lat.len() >= n {
                break;
            }
        }
        println!("inspects {}", status.report().inspects - before);
    }
}
