"""`python -m bench`: runs every measurement and prints one table; raw figures go to a JSON file."""

import json
import platform
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from bench import http, jobs, pgbench
from bench.processes import ROOT, postgres


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), default=ROOT / "bench/results/latest.json",
              show_default="bench/results/latest.json", help="Where the raw figures go.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the work: to see that it runs, not to quote.")
def main(json_file: Path, quick: bool) -> None:
    """Measure jobs, their pick-up and rescue, and the API, each beside its yardstick."""
    scale = 10 if quick else 1
    with postgres() as server:
        _say("one worker process drains the queue")
        one = jobs.drain(server, workers=1, jobs=50_000 // scale)
        _say("three worker processes drain the queue")
        three = jobs.drain(server, workers=3, jobs=50_000 // scale)
        _say("pgbench claims and completes")
        raw = pgbench.loop(server, clients=2, jobs=50_000 // scale)
        _say("idle workers pick up jobs")
        pickup = jobs.pickup(server, jobs=1000 // scale)
        _say("a worker is killed")
        rescue = jobs.rescue(server, jobs=4)
        _say("the API against a bare handler")
        api = http.compare(server, requests=2000 // scale, rounds=2 if quick else 5)
    figures = {"drain_one": one, "drain_three": three, "pgbench": raw, "pickup": pickup, "rescue": rescue, "http": api}
    json_file.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    json_file.write_text(json.dumps({"machine": machine, "quick": quick} | figures, indent=2) + "\n")
    click.echo(tabulate(_rows(figures), headers=["measurement", "figure", "compared with", "ratio"]))
    click.echo(f"\nRaw figures: {json_file}")


def _rows(figures: dict[str, dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    one, three, raw = figures["drain_one"], figures["drain_three"], figures["pgbench"]
    pickup, rescue, api = figures["pickup"], figures["rescue"], figures["http"]
    rate, bare = one["jobs_per_second"], api["bare"]
    bound = rescue["claim_lease_seconds"] + 1
    return [
        (
            f"no-op jobs, 1 worker process (batches of {one['batch_size']})",
            f"{rate:,.0f} jobs/s",
            f"pgbench loop, {raw['clients']} clients (batches of {raw['batch_size']}): "
            f"{raw['jobs_per_second']:,.0f} jobs/s",
            f"{rate / raw['jobs_per_second']:.2f}",
        ),
        (
            "no-op jobs, 3 worker processes",
            f"{three['jobs_per_second']:,.0f} jobs/s",
            "1 worker process",
            f"{three['jobs_per_second'] / rate:.2f}",
        ),
        ("enqueue in batches of 10,000", f"{one['enqueued_per_second']:,.0f} jobs/s", "", ""),
        *[
            (f"enqueue to start, idle worker, {name}", f"{pickup[f'{name}_ms']:.2f} ms", "", "")
            for name in ("p50", "p95", "p99", "max")
        ],
        (
            f"SIGKILL to all {rescue['jobs']} jobs running again",
            f"{rescue['last_started_after_seconds']:.2f} s",
            f"claim lease + 1 s: {bound:g} s",
            f"{rescue['last_started_after_seconds'] / bound:.2f}",
        ),
        (
            f"GET /models, {api['concurrency']} clients",
            f"{api['api']['requests_per_second']:,.0f} requests/s",
            f"bare handler: {bare['requests_per_second']:,.0f} requests/s",
            f"{api['throughput_ratio']:.2f} (bare : API)",
        ),
        (
            "GET /models, p99",
            f"{api['api']['p99_ms']:.1f} ms",
            f"bare handler: {bare['p99_ms']:.1f} ms",
            f"{api['p99_ratio']:.2f} (API : bare)",
        ),
    ]


def _say(what: str) -> None:
    click.echo(f"... {what}", err=True)


if __name__ == "__main__":
    main()
