"""The tables: medians over the rounds, ratios to ours, and which goals were reached."""

from __future__ import annotations

from statistics import median

from works import PEERS, WORKS, Goal, Work

OURS = "ours"

#: results[work][server] is a list of rounds, or a string that says why there is none.
Results = dict[str, dict[str, "list[dict[str, float]] | str"]]


def middle(rounds: list[dict[str, float]], key: str) -> float:
    return median(measured[key] for measured in rounds)


def cpu(results: Results, work: str, server: str) -> float | None:
    """Return the median CPU time a request in microseconds, or None if it was not measured."""
    rounds = results.get(work, {}).get(server)
    return middle(rounds, "cpu_us") if rounds and not isinstance(rounds, str) else None


def work_table(results: Results, work: Work) -> list[str]:
    """Return the lines of one work's table."""
    ours = cpu(results, work.name, work.ours)
    lines = [
        f"{work.name}: {work.what}",
        f"  {'server':<18}{'CPU us/req':>11}{'min..max':>18}{'x ours':>8}{'req/s':>10}"
        f"{'p50 ms':>9}{'p99 ms':>9}",
    ]
    for server, rounds in results[work.name].items():
        if isinstance(rounds, str):
            lines.append(f"  {server:<18}  {rounds}")
            continue
        value = middle(rounds, "cpu_us")
        low, high = (pick(measured["cpu_us"] for measured in rounds) for pick in (min, max))
        ratio = f"{value / ours:.2f}" if ours else "-"
        lines.append(
            f"  {server:<18}{value:>11.1f}{f'{low:.1f}..{high:.1f}':>18}{ratio:>8}"
            f"{middle(rounds, 'per_second'):>10.0f}"
            f"{middle(rounds, 'p50_ms'):>9.2f}{middle(rounds, 'p99_ms'):>9.2f}"
        )
    return lines


def judge(results: Results, work: Work, goal: Goal) -> str | None:
    """Return a line that says whether a goal was reached, or None if it was not measured."""
    ours = cpu(results, work.name, work.ours)
    if ours is None:
        return None
    if goal.other == "peers":
        alike = [name for name in PEERS if name not in goal.unlike]
        values = {name: cpu(results, work.name, name) for name in alike}
        there = {name: value for name, value in values.items() if value}
        if not there:
            return None
        best = min(there, key=there.__getitem__)
        ratio, wanted = there[best] / ours, goal.at_least
        text = f"{work.name}: best peer ({best}) {ratio:.2f} x ours, goal {wanted}"
        if without_python := cpu(results, work.name, "echo"):
            text += f"; {there[best] / without_python:.2f} x ours without Python (echo)"
        return verdict(ratio >= wanted, text)
    if goal.more_us is not None:
        variant = cpu(results, work.name, goal.other)
        if variant is None:
            return None
        text = f"{work.name}: {goal.other} {variant - ours:+.2f} us, goal at most {goal.more_us}"
        return verdict(variant - ours <= goal.more_us, text)
    if goal.other == "gthread/ours":
        value, against = cpu(results, work.name, "ours-gthread"), ours
    elif goal.other in {other.name for other in WORKS}:
        value, against = ours, cpu(results, goal.other, OURS)
    else:
        value, against = ours, cpu(results, work.name, goal.other)
    if value is None or against is None:
        return None
    what = "{:.2f} x " + goal.other
    if goal.other == "gthread/ours":
        what = "gthread, 8 threads: {:.2f} x sync"
    ratio = value / against
    text = f"{work.name}: {what.format(ratio)}, goal at most {goal.at_most}"
    return verdict(ratio <= goal.at_most, text)


def verdict(reached: bool, text: str) -> str:
    return f"  {'reached' if reached else 'MISSED ':<8} {text}"


def footprint_table(footprints: dict[str, dict | str]) -> list[str]:
    """Return the lines about memory and starting."""
    lines = [
        "memory, master and one worker, and starting",
        f"  {'server':<18}{'PSS MiB':>9}{'KiB/idle conn':>15}{'first answer ms':>17}",
    ]
    for server, seen in footprints.items():
        if isinstance(seen, str):
            lines.append(f"  {server:<18}  {seen}")
        else:
            idle = "-" if seen["idle_kib"] is None else f"{seen['idle_kib']:.2f}"
            lines.append(
                f"  {server:<18}{seen['pss_mib']:>9.1f}{idle:>15}{seen['first_answer_ms']:>17.0f}"
            )
    return lines


def footprint_goals(footprints: dict[str, dict | str]) -> list[str]:
    ours = footprints.get(OURS)
    if not isinstance(ours, dict):
        return []
    bounds = (
        ("pss_mib", 14, "PSS MiB"),
        ("idle_kib", 1, "KiB for an idle connection"),
        ("first_answer_ms", 100, "ms to the first answer"),
    )
    return [
        verdict(ours[key] <= bound, f"{ours[key]:.2f} {what}, goal at most {bound}")
        for key, bound, what in bounds
        if ours[key] is not None
    ]


def render(results: Results, footprints: dict[str, dict | str]) -> str:
    """Return the whole report."""
    lines: list[str] = []
    for work in WORKS:
        if work.name in results:
            lines += [*work_table(results, work), ""]
    if footprints:
        lines += [*footprint_table(footprints), ""]
    goals = [judge(results, work, goal) for work in WORKS for goal in work.goals]
    goals = [line for line in goals if line] + footprint_goals(footprints)
    if goals:
        lines += ["goals", *goals]
    return "\n".join(lines)
