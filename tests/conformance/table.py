"""Makes docs/compatibility.md of the judge's JSON: one row per function of torch's operator database.

    python tests/conformance/table.py whole.json core.json > docs/compatibility.md
"""

import json
import sys

import bars

HEAD = """# Compatibility with torch

Made by `make compatibility` from a run of the judge (`tests/conformance`); not written by hand. Each row is
an entry of the operator database of torch 2.13.0; each figure is samples whose result (and gradient,
where torch has one) agrees, of those that torch itself takes. The columns by jit, from a file and by
dtype are of the core list. Results whose shape depends on data are refused inside traces, and count as
agreeing there. In the last column: inputs that torch refuses and intaglio takes.

"""


def cell(row):
    """Samples that agree of all, for one entry in one run; empty where it was not run."""
    if row is None:
        return ""
    counts, _ = row
    good = counts.get("forward_ok", 0) + counts.get("data_dependent_refused", 0)
    bad = counts.get("grad_bad", 0) + counts.get("dtype_differs", 0)
    every = good + counts.get("forward_bad", 0) + counts.get("error", 0)
    return f"{max(good - bad, 0)}/{every}" if every else "-"


def page(runs):
    """The page's text; `runs` maps labels to the judge's reports."""
    labels = ["eager", *(label for label in runs if label != "eager")]
    names = sorted({name for run in runs.values() for name in [*run["rows"], *run["missing"]]}, key=str.lower)
    have = [name for name in names if name in runs["eager"]["rows"]]
    lines = [
        f"Clean in eager: {runs['eager']['clean']} of {runs['eager']['ops']} entries.",
        "",
        "| entry | " + " | ".join(labels) + " | takes |",
        "|---|" + "---|" * (len(labels) + 1),
    ]
    for name in have:
        cells = [cell(runs[label]["rows"].get(name)) for label in labels]
        taken = runs["eager"]["rows"][name][0].get("error_input_accepted", "")
        lines.append(f"| `{name}` | " + " | ".join(cells) + f" | {taken} |")
    missing = [f"`{name}`" for name in names if name not in have]
    reasons = [f"- `{name}`: {why}" for name, why in sorted((bars.EXPLAINED | bars.ACCEPTED).items())]
    lines += ["", "## Deviations with a reason", "", *reasons] if reasons else []
    lines += ["", "## Not here", "", ", ".join(missing) + "."]
    return HEAD + "\n".join(lines) + "\n"


def main():
    """The JSON files named in the arguments as a page; the first one's entries come before later ones'."""
    runs = {}
    for path in sys.argv[1:]:
        with open(path) as file:
            for label, run in json.load(file).items():
                runs.setdefault(label, run)
    sys.stdout.write(page(runs))


if __name__ == "__main__":
    main()
