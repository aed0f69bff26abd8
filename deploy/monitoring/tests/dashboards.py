"""Checks the dashboards as they are: dashboards.py FOLDER NAME. The SDK's models have to
take them without a loss, and people have to find their way through them."""

import json
import pathlib
import re
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def load(folder):
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def survives_the_models(boards):
    register_default_plugins()
    for name, board in boards.items():
        again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
        assert again == board, f"{name}: what the SDK's models make of it is something else"


def identities_are_unique(boards):
    uids = [board["uid"] for board in boards.values()]
    assert len(set(uids)) == len(uids) == 4, uids
    titles = [board["title"] for board in boards.values()]
    assert len(set(titles)) == len(titles), titles
    for name, board in boards.items():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids), f"{name}: {ids}"
        for panel in panels(board):
            refs = [target["refId"] for target in panel["targets"]]
            assert refs and len(set(refs)) == len(refs), f"{name}, {panel['title']}: {refs}"


def panels_explain_themselves(boards):
    for name, board in boards.items():
        assert board["description"], name
        for panel in panels(board):
            where = f"{name}, {panel['title']}"
            assert panel["title"], name
            assert panel["description"].endswith("."), f"{where}: {panel['description']!r}"
            assert panel["fieldConfig"]["defaults"]["unit"], f"{where} has no unit"
            for target in panel["targets"]:
                many = len(panel["targets"]) > 1 or panel["type"] == "timeseries"
                if many and panel["type"] != "table":
                    assert target.get("legendFormat"), f"{where}: {target['expr']} has no legend"


def data_sources_can_be_chosen(boards):
    for name, board in boards.items():
        first = board["templating"]["list"][0]
        assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus"), name
        asking = panels(board) + board["templating"]["list"][1:]
        asking += [target for panel in panels(board) for target in panel["targets"]]
        for it in asking:
            assert it["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, f"{name}: {it}"


def columns_of_a_table_share_rows(boards):
    """As rows are what has the same labels, of which the name of a series is one."""
    for name, board in boards.items():
        for panel in panels(board):
            if panel["type"] == "table" and len(panel["targets"]) > 1:
                by = {re.match(r"\w+ by \(.*?\) |", target["expr"])[0] for target in panel["targets"]}
                assert len(by) == 1 and by != {""}, f"{name}, {panel['title']}: {by}"


def the_grid_is_full_and_nothing_overlaps(boards):
    for name, board in boards.items():
        taken = {}
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, f"{name}, {panel['title']} is too wide"
            for y in range(place["y"], place["y"] + place["h"]):
                for x in range(place["x"], place["x"] + place["w"]):
                    other = taken.setdefault((x, y), panel["title"])
                    assert other is panel["title"], f"{name}: {panel['title']} lies over {other}"
        gaps = {y for _, y in taken if any((x, y) not in taken for x in range(24))}
        assert not gaps, f"{name}: there is room beside lines {sorted(gaps)}"
        assert {y for _, y in taken} == set(range(max(y for _, y in taken) + 1)), name


def links_lead_somewhere(boards):
    uids = {board["uid"]: board for board in boards.values()}
    led = set()
    for name, board in boards.items():
        assert [(link["type"], link["tags"]) for link in board["links"]] == [("dashboards", ["lb"])], name
        assert board["tags"] == ["lb"], name
        for panel in panels(board):
            config = panel["fieldConfig"]
            links = list(config["defaults"].get("links", []))
            for override in config["overrides"]:
                links += [link for it in override["properties"] if it["id"] == "links" for link in it["value"]]
            for link in links:
                path, _, query = link["url"].partition("?")
                uid = path.removeprefix("/d/")
                assert uid in uids, f"{name}, {panel['title']}: {link['url']}"
                known = {variable["name"] for variable in uids[uid]["templating"]["list"]}
                for part in query.split("&"):
                    if part.startswith("var-"):
                        assert part[4:].partition("=")[0] in known, f"{name}, {panel['title']}: {part}"
                led.add(uid)
    assert led == {"lb-service", "lb-container"}, led


CHECKS = {
    check.__name__: check
    for check in (
        survives_the_models,
        identities_are_unique,
        panels_explain_themselves,
        data_sources_can_be_chosen,
        columns_of_a_table_share_rows,
        the_grid_is_full_and_nothing_overlaps,
        links_lead_somewhere,
    )
}

if __name__ == "__main__":
    if len(sys.argv) == 2:
        print("\n".join(CHECKS))
    else:
        CHECKS[sys.argv[2]](load(pathlib.Path(sys.argv[1])))
