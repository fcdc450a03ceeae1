"""Draw a benchmark's result: python bench/plot.py RESULT.json PICTURE.svg. Needs matplotlib."""

import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

OURS, OTHERS, YARDSTICK = "#2a6f97", "#b8c4cc", "#6c757d"
COLUMNS = 3
LABELS = {
    "ours": "monoceros",
    "ours-gthread": "monoceros gthread",
    "ours-tls": "monoceros",
    "nginx-tls": "nginx",
}
LEFT_OUT = {"echo", "ours-accesslog", "gunicorn-accesslog"}  # measures of what one part costs


def medians(runs_by_server):
    """The median CPU time a request of each server that finished, the best first."""
    times = {
        server: statistics.median(run["cpu_us"] for run in runs)
        for server, runs in runs_by_server.items()
        if isinstance(runs, list) and runs and server not in LEFT_OUT
    }
    return sorted(times.items(), key=lambda item: item[1])


def draw(axes, work, times):
    names = [LABELS.get(server, server) for server, _ in times]
    colours = [
        OURS if server.startswith("ours") else YARDSTICK if server.startswith("nginx") else OTHERS
        for server, _ in times
    ]
    bars = axes.barh(names, [time for _, time in times], color=colours)
    axes.bar_label(bars, fmt=lambda time: f"{time:.3g}", padding=3, fontsize=8)
    axes.set_title(work, fontsize=10, loc="left")
    axes.set_xlim(0, times[-1][1] * 1.2)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


def main():
    source, target = map(Path, sys.argv[1:])
    result = json.loads(source.read_text())
    works = {name: medians(servers) for name, servers in result["results"].items()}
    works = {name: times for name, times in works.items() if times}
    rows = -(-len(works) // COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(11, 2.4 * rows), layout="constrained")
    cells = list(grid.flat)
    for axes, (name, times) in zip(cells, works.items(), strict=False):
        draw(axes, name, times)
    for axes in cells[len(works) :]:
        axes.set_visible(False)
    machine = result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(result.get("versions", {}).items()) if v)
    figure.suptitle(
        "CPU time a request in µs: less is better\n"
        f"{machine['processor']}, one core; Linux {machine['kernel'].partition('-')[0]}, "
        f"Python {machine['python']}; {result.get('date', source.stem)}\n{versions}".rstrip(),
        fontsize=9,
    )
    plt.rcParams["svg.hashsalt"] = "monoceros"
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
