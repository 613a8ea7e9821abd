# SPDX-License-Identifier: MIT
"""The picture of a run: plot.svg and plot.png, medians with whiskers from the least to the most."""

import importlib.util

# (title, unit, divisor, logarithmic, ((figure, name), …))
PANELS = (
    ("TCP throughput", "Gbit/s", 1000, False,
     (("tcp1_mbps", "1 stream"), ("tcp4_mbps", "4 streams"), ("relay_mbps", "1 stream, relayed"))),
    ("UDP packets received", "thousand a second", 1000, False,
     (("udp64_pps", "64 bytes, flood"), ("udp64_max_pps", "64 bytes, at most 1 % lost"),
      ("udp1200_pps", "1200 bytes, flood"))),
    ("Round trip", "ms, logarithmic", 1, True,
     (("ping_avg_ms", "idle, average"), ("loaded_avg_ms", "under load, average"),
      ("loaded_p99_ms", "under load, p99"))),
    ("CPU time of the daemons", "seconds per GB", 1, False,
     (("tcp1_cpu_s_per_gb", "TCP, 1 stream"), ("tcp4_cpu_s_per_gb", "TCP, 4 streams"))),
)
COLOURS = ("#1f5a9d", "#6ba3d6", "#e08a2c")


def available():
    return importlib.util.find_spec("matplotlib") is not None


def number(value):
    """Three significant digits without an exponent."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}"


def draw_panel(axes, peers, panel):
    title, unit, divisor, logarithmic, series = panel
    series = [s for s in series if any(s[0] in peer["figures"] for peer in peers.values())]
    labels = list(peers)
    thick = 0.8 / len(series)
    for place, (name, legend) in enumerate(series):
        colour = COLOURS[place]
        points = [(row, [peers[label]["figures"][name][k] / divisor for k in ("median", "min", "max")])
                  for row, label in enumerate(labels) if name in peers[label]["figures"]]
        points = [(row, values) for row, values in points if values[0] > 0]
        rows = [row + (place - (len(series) - 1) / 2) * thick for row, _ in points]
        medians = [values[0] for _, values in points]
        whiskers = [[v[0] - v[1] for _, v in points], [v[2] - v[0] for _, v in points]]
        if logarithmic:  # a bar has no foot there
            axes.errorbar(medians, rows, xerr=whiskers, fmt="o", ms=5, color=colour, ecolor="#555", elinewidth=0.8,
                          label=legend)
        else:
            axes.barh(rows, medians, thick * 0.92, xerr=whiskers, color=colour, label=legend,
                      error_kw={"elinewidth": 0.8, "ecolor": "#333"})
        for row, (_, values) in zip(rows, points, strict=True):
            axes.annotate(number(values[0]), (values[2], row), (4, 0), textcoords="offset points", va="center",
                          fontsize=6.5)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20)
    axes.set_xlabel(unit, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if peers[label]["ours"] else "normal")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.margins(x=0.12)
    axes.grid(axis="x", color="#ddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(-0.01, 0.985), ncols=len(series), frameon=False,
                handlelength=1.2, columnspacing=1.4)


def write(directory, about, peers):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [p for p in PANELS if any(name in peer["figures"] for name, _ in p[4] for peer in peers.values())]
    if not panels:
        return
    rows = (len(panels) + 1) // 2
    figure, grid = pyplot.subplots(rows, min(2, len(panels)), squeeze=False,
                                   figsize=(6.2 * min(2, len(panels)), rows * (1.6 + 0.42 * len(peers)) + 0.5))
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat[:len(panels)], panels, strict=True):
        draw_panel(axes, peers, panel)
    rounds = max(p["cells"] for p in peers.values())
    figure.suptitle(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, underlay '{about['underlay']}', "
                    f"{about['date']}; rounds: {rounds}", fontsize=8.5, color="#444")
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    for form in "svg", "png":
        figure.savefig(directory / f"plot.{form}", dpi=110)
    pyplot.close(figure)
