"""The tables: medians over the rounds, ratios to ours, and which goals were reached."""

from __future__ import annotations

from statistics import median

from works import WORKS, Goal, Work

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
    floor = cpu(results, work.name, "floor")
    lines = [
        f"{work.name}: {work.what}",
        f"  {'server':<18}{'CPU us/req':>11}{'above floor':>13}{'min..max':>18}{'x ours':>8}"
        f"{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}",
    ]
    for server, rounds in results[work.name].items():
        if isinstance(rounds, str):
            lines.append(f"  {server:<18}  {rounds}")
            continue
        value = middle(rounds, "cpu_us")
        low, high = (pick(measured["cpu_us"] for measured in rounds) for pick in (min, max))
        ratio = f"{value / ours:.2f}" if ours else "-"
        above = f"{value - floor:.1f}" if floor else "-"
        lines.append(
            f"  {server:<18}{value:>11.1f}{above:>13}{f'{low:.1f}..{high:.1f}':>18}{ratio:>8}"
            f"{middle(rounds, 'per_second'):>10.0f}"
            f"{middle(rounds, 'p50_ms'):>9.2f}{middle(rounds, 'p99_ms'):>9.2f}"
        )
    return lines


def best_peer(results: Results, work: Work, goal: Goal) -> tuple[str, float] | None:
    """Return the name and the time of the best peer that does the same."""
    alike = [name for name in work.peers if name not in goal.unlike]
    there = [(value, name) for name in alike if (value := cpu(results, work.name, name))]
    if not there:
        return None
    value, name = min(there)
    return f"best peer ({name})", value


def other_than(results: Results, work: Work, goal: Goal) -> tuple[str, float] | None:
    """Return the name and the time of what a goal compares with; None if it was not measured."""
    if goal.other == "peers":
        return best_peer(results, work, goal)
    if goal.other in {other.name for other in WORKS}:
        value = cpu(results, goal.other, work.ours)
    else:
        value = cpu(results, work.name, goal.other)
    return None if value is None else (goal.other, value)


def judge(results: Results, work: Work, goal: Goal) -> str | None:
    """Return a line that says whether a goal was reached, or None if it was not measured."""
    name = goal.of or work.ours
    value, against = cpu(results, work.name, name), other_than(results, work, goal)
    if value is None or against is None:
        return None
    other, theirs = against
    if goal.more_us is not None:
        text = f"{work.name}: {other} {theirs - value:+.2f} us, goal at most {goal.more_us}"
        return verdict(theirs - value <= goal.more_us, text)
    if goal.at_least is not None:
        text = f"{work.name}: {other} {theirs / value:.2f} x {name}, goal {goal.at_least}"
        if goal.other == "peers" and (echo := cpu(results, work.name, "echo")):
            text += f"; {theirs / echo:.2f} x ours without Python (echo)"
        return verdict(theirs / value >= goal.at_least, text)
    text = f"{work.name}: {name} {value / theirs:.2f} x {other}, goal at most {goal.at_most}"
    return verdict(value / theirs <= goal.at_most, text)


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
    return [*our_footprint_goals(footprints.get(OURS)), *asgi_footprint_goals(footprints)]


def our_footprint_goals(ours: dict | str | None) -> list[str]:
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


def asgi_footprint_goals(footprints: dict[str, dict | str]) -> list[str]:
    """Return a line about the memory of an asgi worker and its master, beside uvicorn."""
    ours, theirs = (footprints.get(name) for name in ("ours-asgi", "uvicorn"))
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return []
    value, bound = ours["pss_mib"], theirs["pss_mib"]
    return [verdict(value < bound, f"asgi: {value:.1f} PSS MiB, goal below {bound:.1f} of uvicorn")]


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
