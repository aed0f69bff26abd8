//! `lb-bin endpoints`: who is routed, and who isn't and why.

use super::{
    admin::{Admin, read},
    answers::{Endpoints, Service},
    output::print,
    table::{Cell, Table},
    text::{Tone, colored, harmless, toned},
};

const PATH: &str = "/endpoints";

/// Prints them as a table, or as the balancer answers it.
pub(crate) async fn endpoints(admin: Admin, json: bool) -> anyhow::Result<()> {
    let body = admin.get(PATH).await?;
    let text = if json { body } else { render(&read(PATH, &body)?, colored()) };
    Ok(print(&text)?)
}

fn render(endpoints: &Endpoints, colored: bool) -> String {
    let titles =
        ["SERVICE", "ENDPOINT", "STATE", "ADDRESS", ">WEIGHT", ">IN FLIGHT", "ALGORITHM", "WHY"];
    let mut routed = Table::new(&titles);
    endpoints.services.iter().for_each(|service| rows(&mut routed, service));
    let mut unrouted = Table::new(&["NOT ROUTED", "STATE", "SOURCE", "WHY"]);
    for one in &endpoints.unrouted {
        let state = Cell::toned(&one.state, Tone::of_state(&one.state));
        let why = one.reasons.join("; ").into();
        unrouted.row(vec![one.name.as_str().into(), state, one.source.as_str().into(), why]);
    }
    let mut out = if routed.is_empty() {
        "Nothing is routed: no container names a host (VIRTUAL_HOST, lb.host).\n".to_owned()
    } else {
        routed.render("", colored)
    };
    if !unrouted.is_empty() {
        out.push('\n');
        out.push_str(&unrouted.render("", colored));
    }
    if let Some(docker) = &endpoints.docker {
        let tone = if docker.is_fine() { Tone::Faint } else { Tone::Bad };
        out.push('\n');
        out.push_str(&toned(&harmless(&docker.line()), tone, colored));
        out.push('\n');
    }
    out
}

fn rows(table: &mut Table, service: &Service) {
    let waiting = match service.waiting {
        0 => String::new(),
        1 => "1 request waits".to_owned(),
        n => format!("{n} requests wait"),
    };
    if service.endpoints.is_empty() {
        let state = Cell::toned("gone", Tone::Bad);
        let why = [waiting.as_str(), "its last container has gone a moment ago"];
        let why = why.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
        let (name, algorithm) = (service.name.as_str(), service.algorithm.as_str());
        let none = || Cell::from("");
        table.row(vec![
            name.into(),
            "-".into(),
            state,
            none(),
            none(),
            none(),
            algorithm.into(),
            why.into(),
        ]);
    }
    for one in &service.endpoints {
        table.row(vec![
            service.name.as_str().into(),
            one.name.as_str().into(),
            Cell::toned(&one.state, Tone::of_state(&one.state)),
            one.address.as_deref().unwrap_or("-").into(),
            one.weight.to_string().into(),
            one.in_flight.to_string().into(),
            service.algorithm.as_str().into(),
            one.reasons.join("; ").into(),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_there_is_to_know_is_in_the_table() {
        let answered = r#"{
            "services": [{"name": "app.local", "algorithm": "round_robin", "waiting": 2, "endpoints": [
                {"id": "1", "name": "shop-app-1", "source": "docker", "address": "172.17.0.3:8484",
                 "weight": 1, "state": "ready", "reasons": [], "in_flight": 12},
                {"id": "2", "name": "shop-app-2", "source": "docker", "address": null,
                 "weight": 1, "state": "down", "reasons": ["exited (1)"], "in_flight": 0}]},
              {"name": "gone.local", "algorithm": "maglev", "waiting": 1, "endpoints": []}],
            "unrouted": [{"id": "3", "name": "shop-db-1", "source": "docker", "state": "ignored",
                "reasons": ["names no host"]}],
            "docker": {"connected": true, "synced": true, "engine": "20.10.24", "api": "1.41",
                "containers": 3, "something_new": 1}
        }"#;
        let shown = render(&serde_json::from_str(answered).unwrap(), false);
        let expected = "\
SERVICE     ENDPOINT    STATE  ADDRESS          WEIGHT  IN FLIGHT  ALGORITHM    WHY
app.local   shop-app-1  ready  172.17.0.3:8484       1         12  round_robin
app.local   shop-app-2  down   -                     1          0  round_robin  exited (1)
gone.local  -           gone                                       maglev       1 request waits; its last container has gone a moment ago

NOT ROUTED  STATE    SOURCE  WHY
shop-db-1   ignored  docker  names no host

Docker 20.10.24: 3 containers, connected
";
        assert_eq!(shown, expected, "{shown}");
    }

    #[test]
    fn an_engine_that_is_away_is_told_and_nothing_routed_too() {
        let answered = r#"{"services": [], "unrouted": [],
            "docker": {"connected": false, "synced": false, "containers": 0, "error": "no socket"}}"#;
        let shown = render(&serde_json::from_str(answered).unwrap(), false);
        assert!(shown.starts_with("Nothing is routed"), "{shown}");
        assert!(shown.ends_with("Docker: 0 containers, NOT CONNECTED: no socket\n"), "{shown}");
    }
}
