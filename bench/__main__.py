"""`python -m bench`: runs every measurement and prints one table; raw figures go to a JSON file."""

import json
import platform
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from bench import http, jobs, leadership, pgbench, reads
from bench.processes import ROOT, postgres


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), default=ROOT / "bench/results/latest.json",
              show_default="bench/results/latest.json", help="Where the raw figures go.")  # fmt: skip
@click.option("--quick", is_flag=True, help="A tenth of the work: to see that it runs, not to quote.")
@click.option("--seed", default=1, show_default=True, help="Of the phases at which the leader is killed.")
def main(json_file: Path, quick: bool, seed: int) -> None:
    """Measure jobs, their pick-up and rescue, fail-over and the API, each beside its yardstick."""
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
        kills = 1 if quick else 10
        _say(f"the leader is killed {kills} times, and stopped {kills} times")
        terms = leadership.fail_over(server, kills=kills, seed=seed)
        _say("the API against a bare handler")
        api = http.compare(server, requests=2000 // scale, rounds=2 if quick else 5)
        _say("the API on a standby against the API on the primary")
        standby = reads.compare(server, requests=2000 // scale, rounds=2 if quick else 5, commits=1000 // scale)
    figures = {"drain_one": one, "drain_three": three, "pgbench": raw, "pickup": pickup, "rescue": rescue}
    figures |= {"leadership": terms, "http": api, "reads": standby}
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
        *_leadership_rows(figures["leadership"]),
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
        *_reads_rows(figures["reads"]),
    ]


def _reads_rows(reads: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    standby, primary, visible = reads["standby"], reads["primary"], reads["visible"]
    return [
        (
            f"GET /models from a standby, {reads['concurrency']} clients",
            f"{standby['requests_per_second']:,.0f} requests/s",
            f"from the primary: {primary['requests_per_second']:,.0f} requests/s",
            f"{reads['throughput_ratio']:.2f} (standby : primary)",
        ),
        (
            "GET /models from a standby, p99",
            f"{standby['p99_ms']:.1f} ms",
            f"from the primary: {primary['p99_ms']:.1f} ms",
            f"{reads['p99_ratio']:.2f} (standby : primary)",
        ),
        *[
            (f"commit to its sight on the standby, {name}", f"{visible[f'{name}_ms']:.2f} ms", "", "")
            for name in ("p50", "p99", "max")
        ],
    ]


def _leadership_rows(terms: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    bound, retry = terms["lease_seconds"] + terms["retry_seconds"], terms["retry_seconds"]
    killed, stopped = max(terms["sigkill_seconds"]), max(terms["sigterm_seconds"])
    leaderless = max(terms["sigterm_leaderless_seconds"])
    return [
        (
            f"SIGKILL of the leader to the next, maximum of {terms['kills']}",
            f"{killed:.2f} s",
            f"lease + retry period: {bound:g} s",
            f"{killed / bound:.2f}",
        ),
        (
            f"SIGTERM of the leader to the next, maximum of {terms['kills']}",
            f"{stopped:.2f} s",
            f"drain + retry period: {terms['drain_seconds'] + retry:g} s",
            f"{stopped / (terms['drain_seconds'] + retry):.2f}",
        ),
        (
            "... of which nobody led, maximum",
            f"{leaderless:.2f} s",
            f"retry period: {retry:g} s",
            f"{leaderless / retry:.2f}",
        ),
    ]


def _say(what: str) -> None:
    click.echo(f"... {what}", err=True)


if __name__ == "__main__":
    main()
