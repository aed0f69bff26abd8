# shellcheck shell=bash
# For scripts to source, behind common.sh: grafana_sdk installs the SDK that the
# dashboards are made with, in the version they name, into this clone's target.
grafana_sdk() {
    local wanted=deploy/monitoring/dashboards/requirements.txt folder
    folder=$(target_dir)/grafana-sdk
    command -v python3 >/dev/null || die "the dashboards are made with Python, 3.11 or later: install python3 and its pip."
    if ! cmp -s "$wanted" "$folder/requirements.txt"; then
        rm -rf "$folder"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
            --no-deps --target "$folder" --requirement "$wanted"
        cp "$wanted" "$folder/"
    fi
    # Nothing of Python's is left between the sources.
    export PYTHONPATH=$folder PYTHONDONTWRITEBYTECODE=1
}
