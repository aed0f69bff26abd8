#!/usr/bin/env bash
# Makes the dashboards anew, into FOLDER or where Grafana reads them (make dashboards).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=grafana-sdk.sh
. deploy/grafana-sdk.sh

folder=${1:-deploy/monitoring/grafana/dashboards}
grafana_sdk
python3 deploy/monitoring/dashboards "$folder"
say "made: $folder"
