"""What the judge's figures must be, and the deviations from torch that have a reason."""

FAULTS = ("error", "forward_bad", "grad_bad", "dtype_differs", "error_input_wrong_kind")
"""What keeps an entry from being clean."""
SILENT = ("forward_bad", "grad_bad", "dtype_differs")
"""Faults that a user would not notice."""
WHOLE = 500
"""Clean entries of the whole database, eagerly; torch itself has 658 of 684."""
NATIVE = 0.95
"""Share of the float samples of the core list that run as machine code alone, by jit and from a file."""

_BESSEL = "torch's own values are off by up to 8e-7 between 4 and 9; ours are SciPy's to 1e-15"
EXPLAINED: dict[str, str] = {
    "special_bessel_j0": _BESSEL,
    "special_bessel_y1": _BESSEL,
    "cov": "torch rounds the product of the two weights to f32, which one sample's cancellation shows; ours is f64's",
    "nn_functional_multi_head_attention_forward": "the only sample that torch takes draws dropout",
    "as_strided_scatter": "torch gives elements that are overwritten a derivative; ours is that of finite differences",
}
"""Entries with results or derivatives that differ from torch's in some sample, and why."""

_SHARED = "the input lets out= share memory with an operand or with itself; the judge copies every tensor apart"
_PYTHON = "Python itself takes it: two of its numbers, or `t & 2`, which torch takes too"
ACCEPTED: dict[str, str] = {
    **dict.fromkeys(("kthvalue", "gather", "index_select", "bernoulli", "cat"), _SHARED),
    **dict.fromkeys(("__radd__", "__rdiv__", "__rmul__", "__rand__", "__ror__", "__rxor__", "__rmod__", "__rpow__", "__rsub__"), _PYTHON),
    **dict.fromkeys(("clamp_min", "clamp_max"), "a number as the limit, which torch takes too: its entry only says that no sample has one"),
}
"""Entries of which an input that torch refuses is taken, and why."""


def broken(label: str, report: dict) -> list[str]:
    """The bars that one run of the judge breaks, a line each."""
    found = []
    faulty = {name: (counts, first) for name, (counts, first) in report["rows"].items() if any(k in counts for k in FAULTS)}
    for name, (counts, first) in faulty.items():
        silent = any(k in counts for k in SILENT)
        if name not in EXPLAINED and (silent or report["tier1"]):
            found.append(f"[{label}] {name}: {first}")
    if report["tier1"]:
        found += [f"[{label}] {name}: there is no such function" for name in report["missing"]]
        for name, (counts, _) in report["rows"].items():
            if counts.get("error_input_accepted") and name not in ACCEPTED:
                found.append(f"[{label}] {name}: takes {counts['error_input_accepted']} inputs that torch refuses")
        total = report["total"]
        ran = [total.get(k, 0) for k in ("ran_native", "ran_host", "ran_otherwise")]
        if sum(ran) and ran[0] < NATIVE * sum(ran):
            found.append(f"[{label}] {ran[0]} of {sum(ran)} float samples ran as machine code alone; {NATIVE:.0%} must")
    elif label == "eager" and not report["tenth"] and report["ops"] > 600 and report["clean"] < WHOLE:
        found.append(f"[{label}] {report['clean']} entries are clean; {WHOLE} must be")
    return found
