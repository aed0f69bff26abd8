//! What the table says, line by line: joined, chosen and sorted.

use std::cmp::Ordering;

use super::model::View;
use crate::terminal::{
    answers::{Endpoint, Figures, Service, ServiceTraffic},
    text::{Tone, harmless},
};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Name,
    Rate,
    Errors,
    Latency,
}

impl Sort {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "requests",
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }

    fn compare(self, a: &Figures, b: &Figures) -> Ordering {
        let number = |figures: &Figures| match self {
            Self::Name => 0.0,
            Self::Rate => figures.rate,
            Self::Errors => figures.errors,
            Self::Latency => figures.p99.unwrap_or(0.0),
        };
        number(b).total_cmp(&number(a))
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) level: Level,
    pub(super) name: String,
    /// A state, or what stands in its place.
    pub(super) state: String,
    pub(super) tone: Tone,
    /// Nothing, where no requests can be.
    pub(super) figures: Option<Figures>,
    pub(super) in_flight: Option<usize>,
    /// What is wrong with it.
    pub(super) why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Service,
    Endpoint,
    /// What is of no service.
    Apart,
}

/// The table of what is known, of those that have the filter in their names.
pub(super) fn rows(view: &View, sort: Sort, filter: &str) -> Vec<Row> {
    let filter = filter.to_lowercase();
    let has = |name: &str| filter.is_empty() || name.to_lowercase().contains(&filter);
    let mut services: Vec<_> = view
        .endpoints()
        .services
        .iter()
        .filter_map(|service| {
            let traffic = view.traffic.services.iter().find(|one| one.name == service.name);
            let rows = of_service(service, traffic, sort, &has);
            (!rows.is_empty()).then_some(rows)
        })
        .collect();
    let figures = |rows: &Vec<Row>| rows[0].figures.unwrap_or_default();
    services.sort_by(|a, b| sort.compare(&figures(a), &figures(b)));
    let mut rows: Vec<_> = services.into_iter().flatten().collect();
    let lost = &view.traffic.unrouted;
    if (lost.rate > 0.0 || lost.p50.is_some()) && filter.is_empty() {
        rows.push(Row {
            level: Level::Apart,
            name: "(no service)".into(),
            state: String::new(),
            tone: Tone::Plain,
            figures: Some(*lost),
            in_flight: None,
            why: "refused before a service was found".into(),
        });
    }
    rows.extend(view.endpoints().unrouted.iter().filter(|one| has(&one.name)).map(|one| Row {
        level: Level::Apart,
        name: shown(&one.name),
        state: shown(&one.state),
        tone: Tone::of_state(&one.state),
        figures: None,
        in_flight: None,
        why: shown(&one.reasons.join("; ")),
    }));
    rows
}

/// A service, its endpoints, and what the balancer answers for it itself.
fn of_service(
    service: &Service,
    traffic: Option<&ServiceTraffic>,
    sort: Sort,
    has: &impl Fn(&str) -> bool,
) -> Vec<Row> {
    let whole = has(&service.name);
    let ready = service.endpoints.iter().filter(|one| one.state == "ready").count();
    let all = service.endpoints.len();
    let tone = match ready {
        0 => Tone::Bad,
        _ if ready < all => Tone::Middling,
        _ => Tone::Good,
    };
    let waiting = traffic.map_or(0, |traffic| traffic.waiting);
    let in_flight = traffic.map_or(0, |it| it.endpoints.iter().map(|one| one.in_flight).sum());
    let head = Row {
        level: Level::Service,
        name: shown(&service.name),
        state: format!("{ready}/{all} ready"),
        tone,
        figures: Some(traffic.map(|traffic| traffic.total).unwrap_or_default()),
        in_flight: Some(in_flight),
        why: match waiting {
            0 => String::new(),
            1 => "1 request waits for one to be ready".into(),
            n => format!("{n} requests wait for one to be ready"),
        },
    };
    let mut endpoints: Vec<_> = service
        .endpoints
        .iter()
        .filter(|one| whole || has(&one.name))
        .map(|one| of_endpoint(one, traffic))
        .collect();
    if !whole && endpoints.is_empty() {
        return Vec::new();
    }
    let figures = |row: &Row| row.figures.unwrap_or_default();
    endpoints
        .sort_by(|a, b| sort.compare(&figures(a), &figures(b)).then_with(|| a.name.cmp(&b.name)));
    let local = traffic.map(|traffic| traffic.local).filter(|it| it.rate > 0.0 || it.p50.is_some());
    let local = local.filter(|_| whole).map(|local| Row {
        level: Level::Endpoint,
        name: "(the balancer itself)".into(),
        state: String::new(),
        tone: Tone::Plain,
        figures: Some(local),
        in_flight: None,
        why: String::new(),
    });
    [head].into_iter().chain(endpoints).chain(local).collect()
}

fn of_endpoint(endpoint: &Endpoint, traffic: Option<&ServiceTraffic>) -> Row {
    let traffic = traffic.and_then(|it| it.endpoints.iter().find(|one| one.name == endpoint.name));
    Row {
        level: Level::Endpoint,
        name: shown(&endpoint.name),
        state: shown(&endpoint.state),
        tone: Tone::of_state(&endpoint.state),
        figures: Some(traffic.map(|traffic| traffic.total).unwrap_or_default()),
        in_flight: Some(traffic.map_or(0, |traffic| traffic.in_flight)),
        why: shown(&endpoint.reasons.join("; ")),
    }
}

fn shown(text: &str) -> String {
    harmless(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::top::model::tests::view;

    fn names(sort: Sort, filter: &str) -> String {
        let rows = rows(&view(), sort, filter);
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn services_stand_above_their_endpoints_and_the_rest_at_the_end() {
        let rows = rows(&view(), Sort::Name, "");
        let shown: Vec<_> = rows.iter().map(|row| (row.level, &*row.name, &*row.state)).collect();
        assert_eq!(
            shown,
            [
                (Level::Service, "app.local", "2/3 ready"),
                (Level::Endpoint, "shop-app-1", "ready"),
                (Level::Endpoint, "shop-app-2", "ready"),
                (Level::Endpoint, "shop-app-3", "connecting"),
                (Level::Service, "blog.local", "0/1 ready"),
                (Level::Endpoint, "blog-1", "down"),
                (Level::Endpoint, "(the balancer itself)", ""),
                (Level::Apart, "(no service)", ""),
                (Level::Apart, "shop-db-1", "ignored"),
                (Level::Apart, "web-1", "quarantined"),
            ]
        );
        assert_eq!(rows[2].figures.unwrap().rate, 60.0);
        assert_eq!((rows[0].in_flight, rows[2].in_flight), (Some(5), Some(3)));
        assert!(rows[3].why.contains("Connection refused"));
        assert_eq!(rows[4].why, "2 requests wait for one to be ready");
    }

    #[test]
    fn what_is_sorted_by_comes_first_within_services_too() {
        let apart = " (no service) shop-db-1 web-1";
        let app = |order: &str| format!("app.local {order}");
        let blog = "blog.local blog-1 (the balancer itself)";
        for (sort, expected) in [
            (Sort::Rate, format!("{} {blog}", app("shop-app-2 shop-app-1 shop-app-3"))),
            (Sort::Errors, format!("{blog} {}", app("shop-app-1 shop-app-2 shop-app-3"))),
            (Sort::Latency, format!("{} {blog}", app("shop-app-1 shop-app-2 shop-app-3"))),
        ] {
            assert_eq!(names(sort, ""), expected + apart, "{sort:?}");
        }
    }

    #[test]
    fn a_filter_keeps_services_whole_or_what_it_is_about() {
        assert_eq!(
            names(Sort::Name, "SHOP"),
            "app.local shop-app-1 shop-app-2 shop-app-3 shop-db-1"
        );
        assert_eq!(names(Sort::Name, "app-3"), "app.local shop-app-3");
        assert_eq!(names(Sort::Name, "blog.l"), "blog.local blog-1 (the balancer itself)");
        assert_eq!(names(Sort::Name, "nothing"), "");
    }

    #[test]
    fn what_others_have_written_is_harmless() {
        let mut view = view();
        view.state.endpoints.services[0].endpoints[0].reasons = vec!["\x1b[2Jboo".into()];
        let rows = rows(&view, Sort::Name, "");
        assert_eq!(rows[1].why, " [2Jboo");
    }
}
