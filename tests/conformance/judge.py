"""Holds the project against torch's OpInfo database: samples no one here wrote.

`make conformance` runs it, in an environment that has torch==2.13.0, expecttest, hypothesis, numpy and the project installed:

    python tests/conformance/judge.py [--tier1] [--ops a,b] [--modes eager,jit,file] [--dtypes default,float32,bfloat16,int32,bool]
                                      [--tenth] [--hold] [--list-bad 40] [--json OUT]

For every op in op_db that has float64 (else int64/bool) samples it resolves the same name in intaglio, converts the
sample, compares the forward value and, with a random cotangent, the gradients with torch. An op counts as clean when
no sample of it fails. error_inputs count as held where intaglio raises too.

In jit and file it looks at what ran: a sample is native when every function of it was compiled to machine code and no
op in it is a call of Python or LAPACK. `--tenth` takes a fixed tenth of the samples, the same ones every time. With
`--hold` the exit status says whether the bars of `bars.py` hold. `table.py` makes a page of the JSON.
"""
import argparse, collections, contextlib, importlib, json, operator, os, sys, tempfile, time, warnings, zlib

warnings.simplefilter("ignore")
import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pt

torch.set_num_threads(1)
ig = importlib.import_module("intaglio")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import bars

DTYPES = {torch.float64: "float64", torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16",
          torch.int64: "int64", torch.int32: "int32", torch.int16: "int16", torch.int8: "int8", torch.uint8: "uint8",
          torch.bool: "bool", torch.complex64: "complex64", torch.complex128: "complex128"}


def ig_dtype(d):
    return getattr(ig, DTYPES[d])


def to_ig(x):
    if isinstance(x, torch.Tensor):
        if x.dtype is torch.bfloat16:  # NumPy has no such dtype and torch converts none; f32 holds every value
            t = ig.from_numpy(x.detach().float().numpy().copy()).to(ig.bfloat16)
        else:
            t = ig.from_numpy(x.detach().cpu().numpy().copy())
        if x.requires_grad:
            t = t.detach() if hasattr(t, "detach") else t
            t.requires_grad_(True) if hasattr(t, "requires_grad_") else setattr(t, "requires_grad", True)
        return t
    if isinstance(x, torch.dtype):
        return ig_dtype(x)
    if isinstance(x, torch.device):
        return "cpu"
    return x


def to_np(x):
    if isinstance(x, torch.Tensor):
        return (x.float() if x.dtype is torch.bfloat16 else x).detach().resolve_conj().resolve_neg().numpy()
    if isinstance(x, ig.Tensor):
        return (x.to(ig.float32) if x.dtype is ig.bfloat16 else x).detach().numpy()
    return np.asarray(x)


def walk(obj, path):
    for p in path.split("."):
        obj = getattr(obj, p)
    return obj


SPECIAL = {"__getitem__": operator.getitem, "__radd__": lambda a, b: b + a, "__rsub__": lambda a, b: b - a,
           "__rmul__": lambda a, b: b * a, "__rdiv__": lambda a, b: b / a, "__rpow__": lambda a, b: b ** a,
           "__rmod__": lambda a, b: b % a, "__rmatmul__": lambda a, b: b @ a,
           "__rand__": lambda a, b: b & a, "__ror__": lambda a, b: b | a, "__rxor__": lambda a, b: b ^ a}


def method(name):
    return lambda x, *a, **k: getattr(x, name)(*a, **k)


REORDERED = {  # OpInfo calls these with another order of arguments than their public function has
    "einsum": lambda tensors, equation: ig.einsum(equation, *tensors),
    "where": lambda x, condition, other: ig.where(condition, x, other),
    "nn.functional.embedding": lambda weight, idx, **k: ig.nn.functional.embedding(idx, weight, **k),
    "polygamma": lambda x, n: ig.polygamma(n, x),
    "special.polygamma": lambda x, n, **k: ig.special.polygamma(n, x),
    "svd_lowrank": lambda *a, **k: ig.svd_lowrank(a[0] @ a[1].mT, **k),
    "pca_lowrank": lambda *a, **k: ig.pca_lowrank(a[0] @ a[1].mT, **k),
}
VARIANTS = {  # entries of OpInfo that call their function in a way of their own
    "linalg_lstsq_grad_oriented": lambda a, b, **k: ig.linalg.lstsq(a, b, **k)[:2],
    "linalg_pinv_singular": lambda a, b: ig.linalg.pinv(a @ b.mT),
}
SIGNLESS = {  # singular and eigenvectors have no sign, those of no singular value are any basis: LAPACKs differ in them
    "svd": lambda r: (r[0][..., :r[1].shape[-1]].abs(), r[1], r[2][..., :r[1].shape[-1]].abs()),
    "linalg.svd": lambda r: (r[0][..., :r[1].shape[-1]].abs(), r[1], r[2][..., :r[1].shape[-1], :].abs()),
    "linalg.eigh": lambda r: (r[0], r[1].abs()),
}
PROPERTIES = {"T", "H", "mT", "mH"}
METHODS = {"bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short", "cdouble", "cfloat", "chalf"}
IN_PLACE = {"zero_"}
ALIASES = {  # OpInfo names that are no public functions: in-place forms, and a private name
    "cauchy": "cauchy_", "exponential": "exponential_", "geometric": "geometric_", "log_normal": "log_normal_", "uniform": "uniform_",
    "_segment_reduce": "segment_reduce",
}


def resolve(op):
    if op.formatted_name in VARIANTS:
        return VARIANTS[op.formatted_name]
    name = ALIASES.get(op.name, op.name)
    if name in SPECIAL:
        return SPECIAL[name]
    if name in PROPERTIES:
        return lambda x: getattr(x, name)
    if name in METHODS:
        return method(name) if hasattr(ig.Tensor, name) else None
    if name in IN_PLACE or name.endswith("_"):
        return (lambda x, *a: getattr(x.clone(), name)(*a)) if hasattr(ig.Tensor, name) else None
    if name in REORDERED:
        try:
            walk(ig, name)
        except AttributeError:
            return None
        return REORDERED[name]
    for candidate in (name,):
        try:
            return walk(ig, candidate)
        except AttributeError:
            pass
    if "." not in name and hasattr(ig.Tensor, name):
        return method(name)
    return None


def leaves(x):
    if isinstance(x, (tuple, list)):
        return [l for y in x for l in leaves(y)]
    return [x]


def compare(ours, ref, rtol, atol):
    ours, ref = leaves(ours), leaves(ref)
    ref = [r for r in ref]
    assert len(ours) == len(ref), f"{len(ours)} results, torch gives {len(ref)}"
    for o, r in zip(ours, ref):
        # a float made of integers is held to its own dtype's tolerance
        near = TOLERANCE.get(r.dtype, (0, 0)) if isinstance(r, torch.Tensor) and not rtol else (rtol, atol)
        r, o = to_np(r), to_np(o)
        assert tuple(o.shape) == tuple(r.shape), f"shape {o.shape}, torch {r.shape}"
        np.testing.assert_allclose(o, r, rtol=near[0], atol=near[1])


def held(op, s, ours, ref, rtol, atol):
    """Short floats that torch's CPU sums in its own short steps, as conv_transpose2d does, may miss torch's result: then
    they are held, as tightly, to what torch gives for the same numbers in f64, which is nearer to the truth."""
    try:
        compare(told(op, s, ours), told(op, s, ref), rtol, atol)
    except AssertionError:
        short = (torch.bfloat16, torch.float16)
        if not any(isinstance(r, torch.Tensor) and r.dtype in short for r in leaves(ref)) or op.name in TIES:
            raise
        wide = lambda x: x.detach().double() if isinstance(x, torch.Tensor) and x.dtype in short else x
        a, k = pt.tree_map(wide, ((s.input, *s.args), s.kwargs))
        compare(ours, [wide(r.to(like.dtype)) for r, like in zip(leaves(op.op(*a, **k)), leaves(ref))], rtol, atol)


TIES = {"sort": 0, "topk": 1, "argsort": 0}  # which argument is `dim`


def told(op, s, result):
    """Which of equal elements comes first torch leaves open, unless a sort is stable: there positions are held to be
    distinct and to be those of the values."""
    if op.name not in TIES or s.kwargs.get("stable") or (s.args and isinstance(s.args[0], bool)) or not s.input.ndim:
        return result
    at = leaves(result)[-1]
    at = at if isinstance(at, torch.Tensor) else torch.tensor(np.array(to_np(at)))
    dim = s.kwargs.get("dim", s.args[TIES[op.name]] if len(s.args) > TIES[op.name] else -1)
    assert (torch.diff(at.sort(dim).values, dim=dim) > 0).all(), "a position is there twice"
    return (*leaves(result)[:-1], torch.gather(s.input.detach(), dim, at))


RANDOM = ("rand", "randn", "randint", "bernoulli", "multinomial", "dropout", "normal", "uniform", "empty", "exponential",
          "cauchy", "geometric", "log_normal", "rrelu", "new_empty", "alpha_dropout", "fractional_max_pool", "lowrank")
OUT_OF_SCOPE = ("sparse", "complex", "cfloat", "cdouble", "chalf", "partial_views", "jiterator", "stft", "istft", "normal_in_place")


def run(mode, call, args):
    """The three ways a user runs a function: at once, compiled, and from a saved file."""
    if mode == "jit":
        return ig.jit(call)(*args)
    if mode == "file":
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.ig")
            ig.trace(call, *args).save(path)
            return ig.load(path)(*args)
    return call(*args)


@contextlib.contextmanager
def watched(ran):
    """Note of every function that is compiled inside whether it became machine code alone."""
    from intaglio.compiler.op import op_named
    from intaglio.runtime.executor import Executable

    compile_form = Executable._compile

    def noted(self, *args):
        form = compile_form(self, *args)
        calls_host = any(getattr(op_named(node.op), "host", False) for node in self.graph.nodes)
        ran.append("host" if calls_host else "native" if form.native else "interpreted")
        return form

    Executable._compile = noted
    try:
        yield
    finally:
        Executable._compile = compile_form


TOLERANCE = {torch.float64: (1e-6, 1e-8), torch.float32: (1e-4, 1e-5), torch.bfloat16: (3e-2, 3e-2), torch.float16: (4e-3, 4e-3)}
RIGHT_ERRORS = (TypeError, ValueError, IndexError, RuntimeError, *((ig.Error,) if hasattr(ig, "Error") else ()))


def judge(op, mode, limit, wanted_dtype=None, tenth=False):
    f = resolve(op)
    if f is None:
        return None, None
    tidy = SIGNLESS.get(op.name, lambda result: result)
    c, first = collections.Counter(), None
    choice = (wanted_dtype,) if wanted_dtype else (torch.float64, torch.float32, torch.int64, torch.bool)
    dtype = next((d for d in choice if d in op.dtypes), None)
    if dtype is None:
        return None, "torch takes no such dtype on the CPU"
    rtol, atol = TOLERANCE.get(dtype, (0, 0))
    random = any(r in op.name for r in RANDOM)
    samples = op.sample_inputs("cpu", dtype, requires_grad=op.supports_autograd and dtype.is_floating_point)
    for n, s in enumerate(samples):
        if n >= limit:
            break
        if tenth and (zlib.crc32(op.formatted_name.encode()) + n) % 10:
            continue
        if s.kwargs.get("dropout_p"):
            continue
        try:
            ref = tidy(op.op(s.input, *s.args, **s.kwargs))
        except Exception:
            continue
        flat, spec = pt.tree_flatten(((s.input, *s.args), s.kwargs))
        mine = [to_ig(x) for x in flat]
        wanted = [i for i, x in enumerate(flat) if isinstance(x, torch.Tensor) and x.requires_grad]

        def call(*ts):
            fl = list(mine)
            for i, t in zip(tensors, ts):
                fl[i] = t
            a, k = pt.tree_unflatten(fl, spec)
            return tidy(f(*a, **k))

        tensors = [i for i, x in enumerate(flat) if isinstance(x, torch.Tensor)]
        args = [mine[i] for i in tensors]
        ran = []
        try:
            with watched(ran) if mode != "eager" else contextlib.nullcontext():
                out = run(mode, call, args)
        except Exception as e:
            if mode != "eager" and type(e).__name__ == "TraceError" and "depends on data" in str(e):
                c["data_dependent_refused"] += 1
                continue
            c["error"] += 1
            first = first or f"ERR {type(e).__name__}: {str(e)[:110]}"
            continue
        try:
            if random:
                assert [tuple(to_np(o).shape) for o in leaves(out)] == [tuple(r.shape) for r in leaves(ref)]
            else:
                held(op, s, out, ref, rtol, atol)
            c["forward_ok"] += 1
            if any(isinstance(o, ig.Tensor) and isinstance(r, torch.Tensor) and o.dtype is not ig_dtype(r.dtype) for o, r in zip(leaves(out), leaves(ref))):
                c["dtype_differs"] += 1
                first = first or f"DTYPE {[str(o.dtype) for o in leaves(out)]}, torch {[r.dtype for r in leaves(ref)]}"
            if mode != "eager" and dtype.is_floating_point:
                c["ran_native" if ran and set(ran) == {"native"} else "ran_host" if "host" in ran else "ran_otherwise"] += 1
        except Exception as e:
            c["forward_bad"] += 1
            first = first or "FWD " + str(e)[:160].replace("\n", " ")
            continue
        if random or mode == "file" or not wanted or dtype not in (torch.float64, torch.float32):
            continue
        rl = [(i, r) for i, r in enumerate(leaves(ref)) if isinstance(r, torch.Tensor) and r.requires_grad]
        if not rl:
            continue
        g = [torch.randn_like(r) for _, r in rl]
        try:
            rg = torch.autograd.grad([r for _, r in rl], [flat[i] for i in wanted], g, allow_unused=True)
        except Exception:
            continue
        try:
            ol = leaves(out)
            og = ig.autograd.grad([ol[i] for i, _ in rl], [mine[i] for i in wanted], [to_ig(x) for x in g],
                                  allow_unused=True)
            for a, b in zip(og, rg):
                if b is None or b._is_zerotensor():
                    assert a is None or not np.any(to_np(a))
                else:
                    a = np.zeros(tuple(b.shape)) if a is None else to_np(a)
                    np.testing.assert_allclose(a, to_np(b), rtol=10 * rtol, atol=10 * atol)
            c["grad_ok"] += 1
        except Exception as e:
            c["grad_bad"] += 1
            first = first or f"GRAD {type(e).__name__} " + str(e)[:150].replace("\n", " ")
    if mode == "eager" and wanted_dtype is None:
        try:
            for e in op.error_inputs("cpu"):
                s = e.sample_input
                flat, spec = pt.tree_flatten(((s.input, *s.args), s.kwargs))
                a, k = pt.tree_unflatten([to_ig(x) for x in flat], spec)
                try:
                    f(*a, **k)
                    c["error_input_accepted"] += 1
                except RIGHT_ERRORS:
                    c["error_input_held"] += 1
                except Exception as x:
                    c["error_input_wrong_kind"] += 1
                    first = first or f"ERROR INPUT raises {type(x).__name__}"
        except Exception:
            pass
    return c, first


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--tier1", action="store_true")
    p.add_argument("--ops", default="")
    p.add_argument("--modes", default="eager")
    p.add_argument("--dtypes", default="default", help="default (f64, else int64, bool) or names: float32,bfloat16,int32,bool")
    p.add_argument("--limit", type=int, default=10_000)
    p.add_argument("--list-bad", type=int, default=40)
    p.add_argument("--tenth", action="store_true", help="a fixed tenth of the samples")
    p.add_argument("--hold", action="store_true", help="fail where a bar of bars.py does not hold")
    p.add_argument("--json")
    a = p.parse_args()
    tier1 = json.load(open(os.path.join(HERE, "tier1_ops.json")))
    names = set(a.ops.split(",")) if a.ops else None
    report = {}
    by_name = {n: d for d, n in DTYPES.items()}
    for mode, dtype in [(m, d) for m in a.modes.split(",") for d in a.dtypes.split(",")]:
        wanted_dtype = by_name.get(dtype)
        label = mode if wanted_dtype is None else f"{mode} {dtype}"
        rows, missing, untried, t0 = {}, [], [], time.time()
        ops = [o for o in op_db if not any(w in o.formatted_name for w in OUT_OF_SCOPE) and (not names or o.name in names) and (not a.tier1 or o.name in tier1)]
        for o in ops:
            try:
                c, first = judge(o, mode, a.limit, wanted_dtype, a.tenth)
            except Exception as e:
                c, first = collections.Counter(error=1), f"HARNESS {e!r}"[:160]
            if c is None:
                (untried if first else missing).append(o.formatted_name)
            else:
                rows[o.formatted_name] = (dict(c), first)
        total = collections.Counter()
        for c, _ in rows.values():
            total.update(c)
        bad = {n: v for n, v in rows.items() if any(k in v[0] for k in bars.FAULTS)}
        clean = [n for n, v in rows.items() if n not in bad and (v[0].get("forward_ok") or v[0].get("data_dependent_refused"))]
        print(f"[{label}] ops {len(ops)} resolved {len(rows)} clean {len(clean)} missing {len(missing)} untried {len(untried)} "
              f"{dict(total)} in {time.time() - t0:.0f} s")
        for n, (c, first) in list(bad.items())[: a.list_bad]:
            print("  ", n, c, first)
        report[label] = dict(rows=rows, missing=missing, clean=len(clean), ops=len(ops), total=dict(total), tier1=a.tier1, tenth=a.tenth)
    if a.json:
        json.dump(report, open(a.json, "w"), indent=1)
    print(f"clean {sum(r['clean'] for r in report.values())} of {sum(r['ops'] for r in report.values())}")
    broken = [line for label, r in report.items() for line in bars.broken(label, r)] if a.hold else []
    print(*broken, sep="\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
