"""The plots, as Plotly's own JSON. Colours are names of roles ("@ok"), which the page replaces for light and dark.

Every figure draws what another module counted; nothing is computed here but positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ha_verify.report.failovers import Trials
from ha_verify.report.ledger import Attempt
from ha_verify.report.timeline import FaultWindow, Span, Timeline, replica_of
from ha_verify.report.traffic import Traffic

Spec = dict[str, Any]

# Outcome -> role of its colour, symbol: never told apart by colour alone.
OUTCOMES = {
    "completed": ("@ok", "circle"),
    "failed": ("@fail", "x"),
    "rescued": ("@unknown", "diamond"),
    "released": ("@other", "triangle-up"),
    "cancelled": ("@quiet", "square"),
}
_LANE_PIXELS = 26
_GAP_PIXELS = 30


@dataclass(frozen=True, slots=True)
class Figure:
    """`words` stand in for the plot where it can not be seen."""

    id: str
    words: str
    height_pixels: int
    spec: Spec


def plain(text: Any) -> str:
    """Text that Plotly shows as it is: it takes HTML entities, and would take tags."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def run_figure(id_: str, time: Timeline, seen: Traffic) -> Figure:
    """Replicas, rate, errors and latency over one time axis, with the faults shaded."""
    lanes = list(reversed(time.replicas))
    lanes_pixels = max(2, len(lanes)) * _LANE_PIXELS + 10
    rows_pixels = (130, 80, 90, lanes_pixels)  # latency, errors, rate, replicas: from the bottom up
    plot_pixels = sum(rows_pixels) + _GAP_PIXELS * (len(rows_pixels) - 1)
    tops = _domains(rows_pixels)
    axes: Spec = {
        "yaxis4": {"domain": tops[3], "tickvals": list(range(len(lanes))), "ticktext": [plain(lane) for lane in lanes]},
        "yaxis3": {"domain": tops[2], "title": {"text": "requests / s"}, "rangemode": "tozero"},
        "yaxis2": {"domain": tops[1], "title": {"text": "errors / s"}, "rangemode": "tozero"},
        "yaxis": {"domain": tops[0], "title": {"text": "latency, ms"}, "type": "log", "dtick": 1},
    }
    axes["yaxis4"] |= {"range": [-0.6, max(len(lanes) - 0.4, 1)], "showgrid": False, "zeroline": False}
    layout: Spec = {
        **axes,
        "xaxis": {"title": {"text": "seconds since the run began"}, "range": [0, time.seconds], "anchor": "y"},
        "barmode": "stack",
        "bargap": 0,
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1 + 24 / plot_pixels, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        "margin": {"l": 90, "r": 16, "t": 80, "b": 44},
        "shapes": [_shade(fault) for fault in time.faults],
        "annotations": [_number(fault) for fault in time.faults],
    }
    traces = [*_lane_traces(time, lanes), *_traffic_traces(seen)]
    words = (
        f"Time line of {time.seconds:.0f} s: {len(time.replicas)} replicas, {len(time.terms)} terms of leadership, "
        f"{len(time.faults)} faults; requests, errors and latency below. The tables underneath hold the same figures."
    )
    return Figure(id_, words, plot_pixels + 124, {"data": traces, "layout": layout})


def _domains(pixels: Sequence[int]) -> list[list[float]]:
    """Shares of the height for rows from the bottom up."""
    total = sum(pixels) + _GAP_PIXELS * (len(pixels) - 1)
    domains, bottom = [], 0.0
    for size in pixels:
        domains.append([round(bottom / total, 4), round((bottom + size) / total, 4)])
        bottom += size + _GAP_PIXELS
    return domains


def _shade(fault: FaultWindow) -> Spec:
    place = {"x0": fault.start, "x1": fault.end, "y0": 0, "y1": 1, "xref": "x", "yref": "paper", "layer": "below"}
    return {"type": "rect", **place, "fillcolor": "@fault", "line": {"color": "@faultline", "width": 1, "dash": "dot"}}


def _number(fault: FaultWindow) -> Spec:
    text = f"F{fault.number}" + ("" if fault.took_effect is not False else " (no effect)")
    place = {"x": fault.start, "xref": "x", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom"}
    hover = plain(f"{fault.name}: {fault.proof}")
    return {**place, "text": text, "hovertext": hover, "showarrow": False, "font": {"size": 11}}


def _lane_traces(time: Timeline, lanes: list[str]) -> list[Spec]:
    bars = (("leads", time.terms, "@ok", 11), ("not ready", time.unready, "@unknown", 5))
    traces = [_spans(name, spans, lanes, role, width) for name, spans, role, width in bars]
    starts = [span for span in time.starts if span.lane in lanes]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "started",
            "yaxis": "y4",
            "x": [span.end for span in starts],
            "y": [lanes.index(span.lane) for span in starts],
            "text": [plain(f"{span.lane}: {span.words}") for span in starts],
            "hovertemplate": "%{text}<br>at %{x:.1f} s<extra></extra>",
            "marker": {
                "symbol": ["x" if "failed" in span.words else "triangle-right" for span in starts],
                "size": 11,
                "color": "@text",
            },
        }
    )
    return traces


def _spans(name: str, spans: Sequence[Span], lanes: list[str], role: str, width: int) -> Spec:
    """Bars as one broken line: a gap (None) between spans."""
    shown = [span for span in spans if span.lane in lanes]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "yaxis": "y4",
        "x": [at for span in shown for at in (span.start, (span.start + span.end) / 2, span.end, None)],
        "y": [y for span in shown for y in (*[lanes.index(span.lane)] * 3, None)],
        "text": [text for span in shown for text in [plain(_told(span))] * 4],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"width": width, "color": role},
    }


def _told(span: Span) -> str:
    return f"{span.lane}: {span.words}, {span.start:.1f} s to {span.end:.1f} s"


def _traffic_traces(seen: Traffic) -> list[Spec]:
    width, buckets = seen.width_seconds, seen.buckets
    middle = [bucket.start + width / 2 for bucket in buckets]
    rates = [(bucket.ok + bucket.failed + bucket.unknown) / width for bucket in buckets]

    def errors(name: str, counts: list[int], role: str, pattern: str) -> Spec:
        marker = {"color": role, "pattern": {"shape": pattern, "size": 5, "fgcolor": "@paper", "bgcolor": role}}
        heights = [count / width for count in counts]
        return {"type": "bar", "name": name, "x": middle, "y": heights, "width": width, "yaxis": "y2", "marker": marker}

    def latency(name: str, values: list[float | None], role: str, dash: str) -> Spec:
        line = {"color": role, "width": 1.5, "dash": dash}
        return {"type": "scatter", "mode": "lines", "name": name, "x": middle, "y": values, "line": line}

    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "requests due",
            "x": middle,
            "y": rates,
            "yaxis": "y3",
            "line": {"color": "@text", "width": 1.5, "shape": "hvh"},
        },
        errors("failed", [bucket.failed for bucket in buckets], "@fail", ""),
        errors("answer lost", [bucket.unknown for bucket in buckets], "@unknown", "/"),
        latency("p50", [bucket.p50 for bucket in buckets], "@ok", "solid"),
        latency("p95", [bucket.p95 for bucket in buckets], "@other", "dash"),
        latency("max", [bucket.worst for bucket in buckets], "@fail", "dot"),
    ]


def ledger_figure(id_: str, drawn: Sequence[Attempt], total: int, seconds: float) -> Figure:
    """A lane per worker, attempts as lines that end in the mark of their outcome."""
    first = {attempt.worker: attempt.start for attempt in reversed(drawn)}
    workers = sorted(first, key=lambda worker: (replica_of(worker), first[worker]), reverse=True)
    lane = {worker: number for number, worker in enumerate(workers)}
    data = []
    for outcome, (role, symbol) in OUTCOMES.items():
        own = [attempt for attempt in drawn if attempt.outcome == outcome]
        if not own:
            continue
        # Spread within the lane, so that attempts at the same time do not hide each other.
        heights = [lane[attempt.worker] + (_offset(attempt.token) - 3) / 11 for attempt in own]
        line = {"color": role, "width": 1}
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [at for attempt in own for at in (attempt.start, attempt.end, None)],
                "y": [y for height in heights for y in (height, height, None)],
                "line": line,
                "hoverinfo": "skip",
                "showlegend": False,
                "legendgroup": outcome,
            }
        )
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": outcome,
                "legendgroup": outcome,
                "x": [attempt.end for attempt in own],
                "y": heights,
                "text": [plain(_attempt_words(attempt)) for attempt in own],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"symbol": symbol, "color": role, "size": 5 if outcome == "completed" else 10},
            }
        )
    layout: Spec = {
        "xaxis": {"title": {"text": "seconds since the run began"}, "range": [0, seconds]},
        "yaxis": {"tickvals": list(range(len(workers))), "ticktext": [plain(_short(worker)) for worker in workers]},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "margin": {"l": 130, "r": 16, "t": 40, "b": 44},
    }
    layout["yaxis"] |= {"range": [-0.7, len(workers) - 0.3], "zeroline": False}
    words = f"{total} attempts of jobs by {len(workers)} workers over time, marked by outcome; counted in the table."
    return Figure(id_, words, max(200, len(workers) * 34 + 110), {"data": data, "layout": layout})


def _offset(token: str) -> int:
    """0 to 6, the same in every process."""
    return sum(map(ord, token)) % 7


def _short(worker: str) -> str:
    name, slash, start = worker.rpartition("/")
    return f"{name} · {start[-4:]}" if slash else worker


def _attempt_words(attempt: Attempt) -> str:
    took = (attempt.end - attempt.start) * 1e3
    return (
        f"job {attempt.job}, attempt {attempt.attempt}, token {attempt.token}: {attempt.outcome} "
        f"after {took:.0f} ms, {attempt.start:.1f} s to {attempt.end:.1f} s, by {attempt.worker}"
    )


def trials_figure(id_: str, trials: Trials) -> Figure:
    """Every trial a dot, beside the others of its kind; the bound as a line."""
    kinds, unit = list(reversed(trials.kinds())), trials.change.unit
    dots = [(kinds.index(trial.kind), trial) for trial in trials.each]
    data: list[Spec] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "a trial",
            "x": [trial.quantity for _, trial in dots],
            "y": [kind + (number % 5 - 2) * 0.09 for number, (kind, _) in enumerate(dots)],
            "text": [plain(f"{trial.kind}: {trial.quantity:.2f} {unit}, {trial.history}") for _, trial in dots],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": "@ok", "size": 9, "line": {"color": "@paper", "width": 1}},
        }
    ]
    shapes, highest = [], trials.highest()
    for number, kind in enumerate(kinds):
        bound = trials.bounds.get(kind)
        if bound is not None:
            highest = max(highest, bound)
            place = {"type": "line", "x0": bound, "x1": bound, "y0": number - 0.45, "y1": number + 0.45}
            shapes.append({**place, "line": {"color": "@fail", "width": 2, "dash": "dash"}})
    if shapes:  # a line is not in the legend by itself
        line = {"color": "@fail", "width": 2, "dash": "dash"}
        data.append({"type": "scatter", "mode": "lines", "name": "bound", "x": [None], "y": [None], "line": line})
    layout: Spec = {
        "xaxis": {"title": {"text": trials.change.axis}, **_reach(trials, highest)},
        "yaxis": {"tickvals": list(range(len(kinds))), "ticktext": [plain(kind) for kind in kinds]},
        "shapes": shapes,
        "hovermode": "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "margin": {"l": 170, "r": 16, "t": 40, "b": 44},
    }
    layout["yaxis"] |= {"range": [-0.6, len(kinds) - 0.4], "zeroline": False, "automargin": True}
    count = f"{len(dots)} trials of {len(kinds)} kinds of fault"
    words = f"{trials.words}: {count}, at most {trials.highest():.2f} {unit}."
    return Figure(id_, words, max(180, len(kinds) * 56 + 110), {"data": data, "layout": layout})


def _reach(trials: Trials, highest: float) -> Spec:
    lowest = min((trial.quantity for trial in trials.each), default=0.0)
    if not trials.change.log:
        room = 0.02 if lowest <= 0 else 0.0  # so that the dot of a loss of nothing is whole
        return {"range": [-room * (highest or 1), highest * 1.08 or 1]}
    return {"type": "log", "range": [math.floor(math.log10(lowest)), math.log10(highest * 1.3)], "dtick": 1}
