"""Writes the dashboards as Grafana reads them: python3 deploy/monitoring/dashboards FOLDER

make dashboards installs the SDK (requirements.txt) and calls this.
"""

import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from container import container
from internals import internals
from overview import overview
from service import service


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for make in (overview, service, container, internals):
        made = make().build()
        for number, panel in enumerate(made.panels, start=1):
            panel.id_val = number
        text = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made)
        (folder / f"{make.__name__}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
