"""Predicted against measured on log axes, with the bands of 10 and 25 %, a panel for each metric.

Not here: the numbers (`validation.py`).
"""

from pathlib import Path

import numpy as np

from infersim.studies.validation import Validation

PANELS = {
    "ttft_ms": "TTFT [ms]",
    "tpot_ms": "TPOT and ITL [ms]",
    "e2e_ms": "end-to-end latency [ms]",
    "output_tok_s": "throughput [tokens/s]",
}
SAME = {"itl_ms": "tpot_ms", "total_tok_s": "output_tok_s"}
MOST_CHIPS = 9
"""Chips with a colour of their own; the rest share grey."""


def plot_validation(found: Validation, path: Path) -> None:
    """Draw all measurements that were re-simulated; the suffix of `path` says how."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = found.table.dropna(subset=["predicted"]).copy()
    table["panel"] = table["metric"].replace(SAME)
    chips = table["hardware"].value_counts().index[:MOST_CHIPS].tolist()
    with plt.rc_context({"svg.hashsalt": "infersim", "font.size": 9}):
        figure, axes = plt.subplots(2, 2, figsize=(10, 10), layout="constrained")
        for axis, (metric, title) in zip(axes.flat, PANELS.items(), strict=True):
            rows = table[(table["panel"] == metric) & (table["actual"] > 0) & (table["predicted"] > 0)]
            axis.set_title(title)
            if rows.empty:
                axis.text(0.5, 0.5, "none measured", ha="center", transform=axis.transAxes)
                continue
            _bands(axis, rows["actual"].to_numpy())
            others = rows[~rows["hardware"].isin(chips)]
            axis.scatter(others["actual"], others["predicted"], s=10, color="0.6", label="other chips", linewidths=0)
            for number, chip in enumerate(chips):
                mine = rows[rows["hardware"] == chip]
                axis.scatter(mine["actual"], mine["predicted"], s=10, color=f"C{number}", label=chip, linewidths=0)
            error = rows["error_pct"].abs().median()
            axis.set(title=f"{title}: median error {error:.1f} %, {len(rows)} rows", xlabel="measured")
            axis.set(ylabel="predicted", xscale="log", yscale="log")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=120, metadata=metadata)
        plt.close(figure)


def _bands(axis, actual: np.ndarray) -> None:
    """The diagonal and the bands around it."""
    line = np.array([actual.min() / 1.5, actual.max() * 1.5])
    axis.fill_between(line, line * 0.75, line * 1.25, color="0.93", linewidth=0)
    axis.fill_between(line, line * 0.9, line * 1.1, color="0.85", linewidth=0)
    axis.plot(line, line, color="0.4", linewidth=0.8)
