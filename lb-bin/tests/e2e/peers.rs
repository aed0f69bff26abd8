//! What others showed in the same scenarios, measured by the same method on the same
//! kind of machine: to be read beside our figures.

/// Whose figures they are, in this order.
pub(crate) const WHO: &str = "docker-gen + nginx · Traefik · Traefik, fast and with retries";

/// By what the name of a scenario begins with.
const FIGURES: &[(&str, &str)] = &[
    ("run 10 new replicas", "asked 250 · 1,310 · 100 ms after it listens (median)"),
    ("a replica listens 1.5 s", "not used within 8 s · 158 failed · 72 failed"),
    ("one of two turns unhealthy", "left alone: never · after 0.56 s · after 0.03 s"),
    ("scale 2 → 6 → 1", "1 · 262 to 484 · 134 to 156 failed of 1,700"),
    ("pause one of two", "561 · 558 · 567 slow of 1,810"),
    ("restart the only replica", "18 · 16 · 178 failed, 318 · 330 · 199 slow"),
    ("replace 3 replicas", "1 to 2 · 206 to 270 · 15 to 24 failed of 2,350"),
    ("kill -9 one of three", "0 to 1 · 143 · 22 failed of 1,235"),
    ("one of three hangs", "a third of all, for good: each of them"),
    (
        "POSTs of 200 B",
        "1 to 6 · 158 to 252 · 82 to 138 failed, of which 0 to 5 · 0 to 2 · 0 to 2 were executed",
    ),
    ("an address changes hands", "131 · 405 · 60 answered by the wrong service"),
    ("the engine restarts, live-restore on", "1 · 448 · 102 failed"),
    ("the engine hangs", "0 to 3 · 536 · 124 failed"),
];

/// Their figures for this scenario, if it was measured.
pub(crate) fn figures(scenario: &str) -> &'static str {
    // What else befell a scenario was not measured.
    let found = FIGURES.iter().find(|(of, _)| scenario.starts_with(of));
    let more = ["bodies", "after another"];
    found
        .filter(|_| !more.iter().any(|more| scenario.contains(more)))
        .map_or("", |(_, figures)| figures)
}
