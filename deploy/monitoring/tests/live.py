"""Asks a Prometheus that scrapes the scene what the dashboards, rules and alerts would:

live.py URL FOLDER NAME, where FOLDER has the dashboards. Each waits for what it expects,
for a minute at most, as rates need two scrapes and rules an evaluation.
"""

import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from dashboards import load, panels

URL = sys.argv[1] if len(sys.argv) > 1 else ""
PATIENCE = 60

# As Grafana computes it for the shortest times: four scrapes (prometheus.yml).
RATE_INTERVAL = "20s"

# What may be 0 throughout: as nothing of the kind goes wrong in the scene, as cAdvisor's
# figures are recorded ones, and as the kernel counts processor time in hundredths of a
# second, which an app may not fill.
QUIET = {
    ("overview", "Alerts"),
    ("overview", "Processor of each container"),
    ("container", "Left alone"),
    ("container", "Network"),
    ("container", "Processor"),
    ("container", "Processor of its process"),
    ("internals", "Access log"),
    ("internals", "Answers cut short"),
}


class Missing(Exception):
    pass


def get(path, **parameters):
    url = f"{URL}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{parameters}: {error.read().decode()}") from None


def values(expression, instant):
    """What Prometheus has for it: of now, or of the time that dashboards show at first."""
    if instant:
        result = get("query", query=expression)["result"]
        found = [series["value"][1] for series in result]
    else:
        now = time.time()
        result = get("query_range", query=expression, start=now - 900, end=now, step=5)["result"]
        found = [value for series in result for _, value in series["values"]]
    return [float(value) for value in found if not math.isnan(float(value))]


def fill_in(board):
    """The values of a dashboard's variables, found as Grafana finds them."""
    filled = {}
    for variable in board["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()
        choices = get(f"label/{label}/values", **{"match[]": metric})
        # Of the service and its container that have the most to show.
        known = [choice for choice in choices if choice == "flaky.local" or re.search(r"[-_]flaky[-_]1$", choice)]
        known += choices if variable["includeAll"] else []
        if not known:
            raise Missing(f"no values for ${variable['name']}: {choices}")
        filled[variable["name"]] = ".+" if variable["includeAll"] else known[0]
    return filled


def substituted(expression, filled):
    for name, value in {"__rate_interval": RATE_INTERVAL, **filled}.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression, expression
    return expression


def each_panel_shows_something(name, board):
    filled = fill_in(board)
    empty = []
    for panel in panels(board):
        shown = []
        for target in panel["targets"]:
            expression = substituted(target["expr"], filled)
            found = values(expression, target.get("instant", False))
            if not found:
                empty.append(f"{panel['title']}: no data for {expression}")
            shown += found
        if shown and not any(shown) and (name, panel["title"]) not in QUIET:
            empty.append(f"{panel['title']}: nothing but 0")
    if empty:
        raise Missing("\n".join(empty))
    return f"{len(panels(board))} panels, {sum(len(panel['targets']) for panel in panels(board))} queries"


def rules():
    return [rule for group in get("rules")["groups"] for rule in group["rules"]]


def each_rule_is_well():
    ill = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules() if rule["health"] != "ok"]
    if ill:
        raise Missing("\n".join(ill))
    return f"{len(rules())} rules"


def each_recording_rule_records():
    recorded = [rule["name"] for rule in rules() if rule["type"] == "recording"]
    empty = [name for name in recorded if not values(name, instant=True)]
    if empty:
        raise Missing("\n".join(empty))
    return f"{len(recorded)} rules"


def selectors(expression):
    """The selectors of series that an expression is made of."""
    strings = re.sub(r'"[^"]*"', lambda found: "_" * len(found[0]), expression)
    clauses = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
    bare = re.sub(clauses, lambda found: " " * len(found[0]), strings)
    for found in re.finditer(r"([A-Za-z_:][\w:]*)(\{[^}]*\})?(\s*\()?", bare):
        function = found[3] and not found[2]
        # As the m of 5m.
        unit = bare[: found.start()][-1:].isdecimal()
        if not (function or unit or found[1] in {"and", "or", "unless", "bool", "offset"}):
            yield expression[found.start() : found.end(2 if found[2] else 1)]


def each_alert_is_about_something():
    alerts = [rule for rule in rules() if rule["type"] == "alerting"]
    unknown = []
    for alert in alerts:
        made_of = list(selectors(alert["query"]))
        assert made_of, alert["query"]
        unknown += [f"{alert['name']}: there is no {it}" for it in made_of if not get("query", query=it)["result"]]
    if unknown:
        raise Missing("\n".join(unknown))
    return f"{len(alerts)} alerts"


def what_is_wrong_is_told():
    """Of what the scene has, this is to be told of; for some only after a while."""
    expected = {"ContainersQuarantined", "CertificateExpires"}
    told = {alert["labels"]["alertname"] for alert in get("alerts")["alerts"]}
    if expected - told:
        raise Missing(f"nobody is told of {expected - told}, but of {told}")
    return " ".join(sorted(told))


def requests_wait():
    waiting = get("query", query="lb_requests_waiting > 0")["result"]
    if not waiting:
        raise Missing("nobody waits")
    return str(waiting)


def targets_have_their_labels():
    project = sys.argv[4]
    found = {}
    for target in get("targets", state="active")["activeTargets"]:
        labels = target["labels"]
        if labels.get("compose_project") == project:
            found[labels["container"]] = (labels, target)
    jobs = sorted(labels["job"] for labels, _ in found.values())
    expected = ["app"] * 6 + ["cadvisor", "lb", "node", "prometheus"]
    if jobs != expected:
        raise Missing(f"jobs: {jobs}")
    for container, (labels, target) in found.items():
        assert set(labels) == {"compose_project", "compose_service", "container", "instance", "job"}, labels
        port = {"app": 8485, "cadvisor": 8080, "lb": 9180, "node": 9100, "prometheus": 9090}[labels["job"]]
        assert labels["instance"] == f"{container}:{port}", labels
        path = "cadvisor.txt" if labels["job"] == "cadvisor" else "metrics"
        assert re.fullmatch(rf"http://[\d.]+:{port}/{path}", target["scrapeUrl"]), target["scrapeUrl"]
        if target["health"] != "up":
            raise Missing(f"{container}: {target['health']} {target['lastError']}")
    return f"{len(found)} targets"


def cadvisor_speaks_of_containers():
    """By our labels, not by those of its own target."""
    found = [series["metric"] for series in get("query", query="container_start_time_seconds")["result"]]
    mine = [it for it in found if it.get("compose_project") == sys.argv[4]]
    machine = [it for it in found if it["id"] == "/"]
    if not mine or not machine:
        raise Missing(f"{found}")
    for it in mine:
        assert it["compose_service"] == "flaky" and re.search(r"[-_]flaky[-_]1$", it["container"]), it
    assert not any("container" in it or "compose_project" in it for it in machine), machine
    assert not any(label == "name" or label.startswith("container_label") for it in found for label in it), found
    return f"{len(mine)} containers"


def main():
    boards = load(pathlib.Path(sys.argv[2]))
    name = sys.argv[3]
    if name in boards:
        attempt = lambda: each_panel_shows_something(name, boards[name])
    else:
        attempt = globals()[name]
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            print(attempt())
            return
        except Missing as missing:
            if time.monotonic() > deadline:
                sys.exit(f"after {PATIENCE} s:\n{missing}")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
