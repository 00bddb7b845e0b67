"""Random convolutional and recurrent networks for tests: plans drawn from seeds, made into modules
of intaglio or, since the names are the same, of torch.

A plan follows the sizes of its values, so that every layer fits; odd sizes, single elements, few
and many channels are frequent. Values stay near 1."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

Sizes = tuple[int, ...]
CHANNELS = (1, 2, 3, 4, 6, 8, 16, 17, 20, 24, 32, 33)
SPACES = {1: (1, 2, 5, 9, 16, 17, 33, 70), 2: (1, 2, 3, 5, 7, 8, 9, 12, 16), 3: (1, 2, 3, 4, 6)}
LARGEST = 40_000
"""Elements that a value of one image may have."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One step: a module or function of this kind over earlier values, with its options."""

    kind: str
    operands: tuple[int, ...]
    options: dict[str, Any]
    shape: Sizes
    """[channels, *spatial] of what it makes."""


@dataclass(slots=True)
class Plan:
    """Layers over one input [n, *shape]; a head reads the mean over space of the last value."""

    shape: Sizes
    layers: list[Layer] = field(default_factory=list)
    few_images: int = 1
    """The smallest batch that training takes."""

    @property
    def rank(self) -> int:
        """How many spatial dims there are."""
        return len(self.shape) - 1

    @property
    def shapes(self) -> list[Sizes]:
        """The shapes of all values without the batch."""
        return [self.shape, *(layer.shape for layer in self.layers)]


class Draw:
    """Draws the layers of one plan."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        rank = self.dice.choice((1, 2, 2, 2, 2, 3))
        space = [self.dice.choice(SPACES[rank]) for _ in range(rank)]
        self.plan = Plan((self.dice.choice(CHANNELS), *space))
        kinds = [
            *["conv"] * 6, *["transposed"] * 2, *["norm"] * 3, *["activation"] * 3, *["pool"] * 2,
            *["add"] * 2, "join", "part", "turn", "resize", "gate", "pad", "adaptive", "product",
        ]  # fmt: skip
        wanted, tries = self.dice.randint(3, 8), 0
        while len(self.plan.layers) < wanted and tries < 100:
            tries += 1
            made = getattr(self, self.dice.choice(kinds))(self._pick())
            if made is not None and math.prod(made.shape) <= LARGEST:
                self.plan.layers.append(made)

    def _pick(self) -> int:
        """A value, the newest ones most often."""
        return max(self.dice.randrange(len(self.plan.shapes)) for _ in range(3))

    def _each(self, *choices: int) -> Sizes:
        """One of the choices for all dims, or one for each."""
        if self.dice.random() < 0.6:
            return (self.dice.choice(choices),) * self.plan.rank
        return tuple(self.dice.choice(choices) for _ in range(self.plan.rank))

    def _groups(self, channels: int) -> int:
        if self.dice.random() < 0.6:
            return 1
        return self.dice.choice([g for g in range(1, channels + 1) if channels % g == 0])

    def conv(self, at: int) -> Layer | None:
        """A convolution: often of 3 with a padding of 1, or of 1; sometimes in groups."""
        channels, *space = self.plan.shapes[at]
        k, s, d = self._each(1, 3, 3, 2, 5), self._each(1, 1, 1, 2, 3), self._each(1, 1, 1, 2)
        p = tuple(
            self.dice.choice((0, (a - 1) * b // 2, (a - 1) * b // 2, a))
            for a, b in zip(k, d, strict=True)
        )
        mode = "zeros"
        if self.dice.random() < 0.1 and all(a < n for a, n in zip(p, space, strict=True)):
            mode = self.dice.choice(("reflect", "replicate", "circular"))
        made = [
            (n + 2 * a - (b - 1) * c - 1) // e + 1
            for n, a, b, c, e in zip(space, p, k, d, s, strict=True)
        ]
        if min(made) < 1:
            return None
        groups = self._groups(channels)
        filters = groups * self.dice.choice((1, 2, 3) if groups > 1 else CHANNELS)
        options = {
            "in_channels": channels,
            "out_channels": filters,
            "kernel_size": k,
            "stride": s,
            "padding": p,
            "dilation": d,
            "groups": groups,
            "bias": self.dice.random() < 0.7,
            "padding_mode": mode,
        }
        return Layer("conv", (at,), options, (filters, *made))

    def transposed(self, at: int) -> Layer | None:
        """A transposed convolution."""
        channels, *space = self.plan.shapes[at]
        k, s, d = self._each(1, 2, 3, 4), self._each(1, 2, 2, 3), self._each(1, 1, 1, 2)
        p = tuple(self.dice.choice((0, 0, 1, (a - 1) * b)) for a, b in zip(k, d, strict=True))
        more = tuple(self.dice.randrange(max(a, b)) for a, b in zip(s, d, strict=True))
        made = [
            (n - 1) * e - 2 * a + (b - 1) * c + f + 1
            for n, a, b, c, e, f in zip(space, p, k, d, s, more, strict=True)
        ]
        if min(made) < 1:
            return None
        groups = self._groups(channels)
        filters = groups * self.dice.choice((1, 2, 3) if groups > 1 else CHANNELS)
        options = {
            "in_channels": channels,
            "out_channels": filters,
            "kernel_size": k,
            "stride": s,
            "padding": p,
            "output_padding": more,
            "dilation": d,
            "groups": groups,
            "bias": self.dice.random() < 0.7,
        }
        return Layer("transposed", (at,), options, (filters, *made))

    def norm(self, at: int) -> Layer | None:
        """Batch, group or instance norm."""
        shape = self.plan.shapes[at]
        kind = self.dice.choice(("batch", "batch", "batch", "group", "instance"))
        few = math.prod(shape[1:]) == 1
        if kind == "instance" and few:
            return None
        if kind == "group":
            groups = self._groups(shape[0])
            if math.prod(shape) == groups:
                return None
            return Layer(kind, (at,), {"num_groups": groups, "num_channels": shape[0]}, shape)
        if few:
            self.plan.few_images = 2
        options = {"num_features": shape[0], "affine": self.dice.random() < 0.8}
        if kind == "batch":
            options |= {
                "momentum": self.dice.choice((0.1, None)),
                "track_running_stats": self.dice.random() < 0.9,
            }
        return Layer(kind, (at,), options, shape)

    def activation(self, at: int) -> Layer | None:
        """An elementwise function, or softmax over the channels."""
        name = self.dice.choice(("relu", "relu", "relu", "gelu", "silu", "tanh", "softmax"))
        return Layer("activation", (at,), {"name": name}, self.plan.shapes[at])

    def pool(self, at: int) -> Layer | None:
        """The largest or the mean of windows."""
        channels, *space = self.plan.shapes[at]
        k, s = self._each(1, 2, 2, 3), self._each(1, 2, 2, 3)
        p = tuple(self.dice.choice((0, 0, a // 2)) for a in k)
        largest = self.dice.random() < 0.5
        d = self._each(1, 1, 1, 2) if largest else (1,) * len(k)
        ceil = self.dice.random() < 0.2
        made = []
        for n, a, b, c, e in zip(space, p, k, d, s, strict=True):
            whole = n + 2 * a - (b - 1) * c - 1
            count = whole // e + 1
            if ceil and whole % e and count * e < n + a:
                count += 1
            made.append(count if whole >= 0 else 0)
        if min(made) < 1:
            return None
        options = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": ceil}
        options |= {"dilation": d} if largest else {}
        if not largest:
            options |= {"count_include_pad": self.dice.random() < 0.5}
        kind = "max_pool" if largest else "avg_pool"
        return Layer(kind, (at,), options, (channels, *made))

    def adaptive(self, at: int) -> Layer | None:
        """Pooling to given sizes."""
        channels, *space = self.plan.shapes[at]
        made = tuple(self.dice.randint(1, n) for n in space)
        kind = self.dice.choice(("adaptive_avg", "adaptive_max"))
        return Layer(kind, (at,), {"output_size": made}, (channels, *made))

    def add(self, at: int) -> Layer | None:
        """A residual."""
        shape = self.plan.shapes[at]
        same = [k for k, s in enumerate(self.plan.shapes) if s == shape]
        return Layer("add", (at, self.dice.choice(same)), {}, shape)

    def join(self, at: int) -> Layer | None:
        """The channels of two values of the same sizes."""
        shape = self.plan.shapes[at]
        same = [k for k, s in enumerate(self.plan.shapes) if s[1:] == shape[1:]]
        other = self.dice.choice(same)
        more = self.plan.shapes[other][0]
        return Layer("join", (at, other), {}, (shape[0] + more, *shape[1:]))

    def part(self, at: int) -> Layer | None:
        """Some of the channels, or of the positions."""
        shape = self.plan.shapes[at]
        dim = self.dice.choice((0, 0, self.dice.randrange(len(shape))))
        start = self.dice.choice([k for k in (0, 0, 1, 8, 16) if k < shape[dim]])
        stop = self.dice.randint(start + 1, shape[dim])
        step = self.dice.choice((1, 1, 1, 2))
        made = (*shape[:dim], -(-(stop - start) // step), *shape[dim + 1 :])
        return Layer(
            "part", (at,), {"dim": dim + 1, "start": start, "stop": stop, "step": step}, made
        )

    def turn(self, at: int) -> Layer | None:
        """Mirrored, or with its last two dims exchanged."""
        shape = self.plan.shapes[at]
        if len(shape) > 2 and self.dice.random() < 0.5:
            return Layer("swap", (at,), {}, (*shape[:-2], shape[-1], shape[-2]))
        return Layer("flip", (at,), {"dim": self.dice.randint(1, len(shape) - 1)}, shape)

    def resize(self, at: int) -> Layer | None:
        """Interpolated to other sizes."""
        channels, *space = self.plan.shapes[at]
        if self.dice.random() < 0.5:
            made, mode = tuple(2 * n for n in space), "nearest"
        else:
            made = tuple(max(1, n + self.dice.randint(-2, 5)) for n in space)
            mode = self.dice.choice(
                ("nearest", {1: "linear", 2: "bilinear", 3: "trilinear"}[len(space)])
            )
        options: dict[str, Any] = {"size": made, "mode": mode}
        if mode != "nearest":
            options["align_corners"] = self.dice.random() < 0.5
        return Layer("resize", (at,), options, (channels, *made))

    def gate(self, at: int) -> Layer | None:
        """Channels scaled by a function of their means."""
        return Layer("gate", (at,), {}, self.plan.shapes[at])

    def pad(self, at: int) -> Layer | None:
        """Constant padding of the last dim, of different widths."""
        shape = self.plan.shapes[at]
        sides = (self.dice.randrange(3), self.dice.randrange(3))
        made = (*shape[:-1], shape[-1] + sum(sides))
        return Layer("pad", (at,), {"pad": sides, "value": self.dice.choice((0.0, 0.5))}, made)

    def product(self, at: int) -> Layer | None:
        """A linear map of the last dim."""
        shape, count = self.plan.shapes[at], self.dice.randint(1, 9)
        options = {"in_features": shape[-1], "out_features": count}
        return Layer("product", (at,), options, (*shape[:-1], count))


def draw(seed: int) -> Plan:
    """The plan of this seed."""
    return Draw(seed).plan


# -------------------------------------------------------------------- a plan as a module


MODULES = {
    "conv": "Conv{}d", "transposed": "ConvTranspose{}d", "batch": "BatchNorm{}d",
    "instance": "InstanceNorm{}d", "group": "GroupNorm", "max_pool": "MaxPool{}d",
    "avg_pool": "AvgPool{}d", "adaptive_avg": "AdaptiveAvgPool{}d",
    "adaptive_max": "AdaptiveMaxPool{}d", "product": "Linear",
}  # fmt: skip


def _apply(lib: Any, layer: Layer, xs: list[Any]) -> Any:
    """What a layer without parameters computes."""
    x, given, F = xs[0], layer.options, lib.nn.functional
    match layer.kind:
        case "activation" if given["name"] == "softmax":
            return lib.softmax(x, 1)
        case "activation":
            return getattr(F if given["name"] in ("gelu", "silu") else lib, given["name"])(x)
        case "add":
            return x + xs[1]
        case "join":
            return lib.cat(xs, 1)
        case "part":
            where = (slice(None),) * given["dim"]
            return x[(*where, slice(given["start"], given["stop"], given["step"]))]
        case "swap":
            return x.transpose(-1, -2)
        case "flip":
            return x.flip(given["dim"])
        case "resize":
            return F.interpolate(x, **given)
        case "gate":
            means = x.mean(tuple(range(2, x.ndim)), keepdim=True)
            return x * lib.sigmoid(means)
        case "pad":
            return F.pad(x, given["pad"], value=given["value"])
    raise AssertionError(layer.kind)


def module(plan: Plan, lib: Any, classes: int = 3) -> Any:
    """The plan as a module of `lib`, intaglio or torch, that returns scores [n, classes] and one of
    the values between."""
    nn = lib.nn

    class Net(nn.Module):  # type: ignore[misc]  # the base is the library's
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(
                getattr(nn, MODULES[layer.kind].format(plan.rank))(**layer.options)
                for layer in plan.layers
                if layer.kind in MODULES
            )
            self.head = nn.Linear(plan.shapes[-1][0], classes)

        def forward(self, x: Any) -> Any:
            values, parts = [x], iter(self.parts)
            for layer in plan.layers:
                xs = [values[k] for k in layer.operands]
                values.append(next(parts)(*xs) if layer.kind in MODULES else _apply(lib, layer, xs))
            return self.head(values[-1].flatten(2).mean(2)), values[len(values) // 2]

    return Net()


def recurrent(seed: int, lib: Any, classes: int = 3) -> tuple[Any, int]:
    """A random recurrent network of `lib` over sequences x[t, n, size], and that size."""
    dice, nn = random.Random(seed), lib.nn
    kind = dice.choice(("RNN", "LSTM", "LSTM", "GRU"))
    size, hidden = dice.choice((1, 3, 8, 17)), dice.choice((1, 2, 5, 16, 33))
    options: dict[str, Any] = {
        "num_layers": dice.choice((1, 1, 2, 3)), "bias": dice.random() < 0.8,
        "bidirectional": dice.random() < 0.4,
    }  # fmt: skip
    if kind == "RNN":
        options["nonlinearity"] = dice.choice(("tanh", "relu"))
    if kind == "LSTM" and hidden > 1 and dice.random() < 0.3:
        options["proj_size"] = dice.randint(1, hidden - 1)
    ways = 2 if options["bidirectional"] else 1
    out = options.get("proj_size", hidden)
    first, start, mixed, backwards = (dice.random() < 0.5 for _ in range(4))
    tail = dice.choice(("last", "mean", "attention", "conv"))

    class Net(nn.Module):  # type: ignore[misc]  # the base is the library's
        def __init__(self) -> None:
            super().__init__()
            self.net = getattr(nn, kind)(size, hidden, batch_first=first, **options)
            self.mix = nn.Linear(size, size)
            self.head = nn.Linear(ways * out, classes)
            self.conv = nn.Conv1d(ways * out, ways * out, 3, padding=1)

        def forward(self, x: Any) -> Any:
            x = lib.tanh(self.mix(x)) if mixed else x
            x = x.flip(0) if backwards else x
            sequence = x.transpose(0, 1) if first else x
            given = ()
            if start:
                h = x.mean(0).sum(-1).reshape(1, -1, 1) * lib.ones(
                    options["num_layers"] * ways, 1, out, dtype=x.dtype
                )
                c = x.mean(0).sum(-1).reshape(1, -1, 1) * lib.ones(
                    options["num_layers"] * ways, 1, hidden, dtype=x.dtype
                )
                given = ((h, c),) if kind == "LSTM" else (h,)
            y, _ = self.net(sequence, *given)
            y = y.transpose(0, 1) if first else y
            if tail == "last":
                z = y[-1]
            elif tail == "mean":
                z = y.mean(0)
            elif tail == "attention":
                z = (lib.softmax((y * y[-1:]).sum(-1, keepdim=True), 0) * y).sum(0)
            else:
                z = self.conv(y.permute(1, 2, 0)).mean(2)
            return self.head(z), y

    return Net(), size
