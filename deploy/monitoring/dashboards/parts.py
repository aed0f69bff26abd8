"""What the dashboards are made of: panels that look alike, queries, links, variables."""

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATA_SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Colours mean the same on every dashboard.
CLASSES = {"1xx": "purple", "2xx": "green", "3xx": "blue", "4xx": "yellow", "5xx": "red"}
STATES = {
    "ready": "green",
    "connecting": "yellow",
    "ejected": "red",
    "draining": "blue",
    "down": "text",
}

# From a value on, a colour.
ERRORS = {None: "green", 0.001: "yellow", 0.01: "red"}
SATURATION = {None: "green", 0.7: "yellow", 0.9: "red"}
NONE_IS_GOOD = {None: "green", 1: "red"}
NONE_IS_BAD = {None: "red", 1: "green"}
NEUTRAL = {None: "text"}

CONTAINER = "lb-container"
INTERNALS = "lb-internals"
OVERVIEW = "lb-overview"
SERVICE = "lb-service"


def board(uid, title, description, variables):
    """A dashboard, with the data source as its first variable and links to the others."""
    source = (
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .current(dashboard.VariableOption(text="Prometheus", value="prometheus"))
    )
    others = (
        builders.DashboardLink("Dashboards of lb")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags(["lb"])
        .keep_time(True)
        .include_vars(True)
        .icon("external link")
        .tooltip("The other dashboards, over the same time")
    )
    return (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["lb"])
        .time("now-15m", "now")
        .refresh("5s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .variables([source, *variables])
        .links([others])
    )


def variable(name, label, query, many=False):
    """A variable whose values are those that a label has: one of them, or many."""
    made = (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATA_SOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(many)
        .include_all(many)
    )
    if many:
        made = made.all_value(".+").current(dashboard.VariableOption(text="All", value="$__all"))
    return made


def row(title):
    return builders.Row(title)


def graph(title, description, unit, queries, *, width=8, stack=False, most=None, colors=None, link=None):
    """Lines over time; `queries` are pairs of an expression and a legend."""
    panel = (
        timeseries.Panel()
        .min(0)
        .line_width(1)
        .fill_opacity(60 if stack else 10)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if stack:
        panel = panel.stacking(
            common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
        )
    if most is not None:
        panel = panel.max(most)
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [fixed(color)])
    if link:
        panel = panel.data_links([link])
    return finished(panel, title, description, unit, queries, width, 8)


def number(title, description, unit, expression, *, width=4, steps=None, line=True):
    """One number, as it is now."""
    panel = (
        stat.Panel()
        .thresholds(thresholds(steps or NEUTRAL))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.AREA if line else common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return finished(panel, title, description, unit, [(expression, "")], width, 4)


def spread(title, description, expression, *, width=12):
    """How often which time was taken, from the buckets of a histogram."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .scale_distribution(common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LINEAR))
        .cell_values(heatmap.CellValues().unit("reqps"))
    )
    made = target(expression, "{{le}}", 0).format(PromQueryFormat.HEATMAP)
    return framed(panel.unit("reqps"), title, description, width, 8).with_target(made)


def rows(title, description, unit, columns, *, hide=(), units=None, links=None, width=24, height=8):
    """A table with a row for each series, as they are now. `columns` are pairs of an
    expression and the title of its column. Series with the same labels share a row; the
    name of a series is a label, too, so sum several up by the labels they share."""
    panel = table.Panel().unit(unit).no_value("-").align(common.FieldTextAlignment.AUTO)
    for index, (expression, _) in enumerate(columns):
        made = target(expression, "", index).instant().format(PromQueryFormat.TABLE)
        panel = panel.with_target(made)
    names = {f"Value #{chr(65 + index)}": name for index, (_, name) in enumerate(columns)}
    if len(columns) == 1:
        names["Value"] = columns[0][1]
    panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {name: True for name in ["Time", "__name__", *hide]},
                "indexByName": {},
                "renameByName": names,
            },
        )
    )
    for name, it in (units or {}).items():
        panel = panel.override_by_name(name, [dashboard.DynamicConfigValue(id_val="unit", value=it)])
    for name, link in (links or {}).items():
        value = [link.build().to_json()]
        panel = panel.override_by_name(name, [dashboard.DynamicConfigValue(id_val="links", value=value)])
    return framed(panel, title, description, width, height)


def to_container(value):
    return to(CONTAINER, "container", value)


def to_service(value):
    return to(SERVICE, "service", value)


def to(uid, name, value):
    """From a series or a row to the dashboard of what it is about."""
    url = f"/d/{uid}?var-datasource=${{datasource}}&var-{name}={value}&${{__url_time_range}}"
    return builders.DashboardLink(f"More of this {name}").type(dashboard.DashboardLinkType.LINK).url(url)


def finished(panel, title, description, unit, queries, width, height):
    for index, (expression, legend) in enumerate(queries):
        panel = panel.with_target(target(expression, legend, index))
    return framed(panel.unit(unit), title, description, width, height)


def framed(panel, title, description, width, height):
    return (
        panel.title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .span(width)
        .height(height)
    )


def target(expression, legend, index):
    made = (
        prometheus.Dataquery()
        .datasource(DATA_SOURCE)
        .expr(" ".join(expression.split()))
        .ref_id(chr(65 + index))
        .range()
    )
    return made.legend_format(legend) if legend else made


def thresholds(steps):
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps.items()])
    )


def fixed(color):
    return dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
