"""The table of a model: numbers that are known by hand, formulas, and how it is shown."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x, scale=1.0):
        return self.head(self.body(x).mean((2, 3))) * scale


def test_numbers_known_by_hand():
    model = Net().eval()
    model.head.bias.requires_grad_(False)
    made = nn.summary(model, ig.zeros(2, 3, 16, 16))
    conv = made["body.0"]
    assert (conv.kind, conv.result, conv.depth) == ("Conv2d", "f32[2,8,16,16]", 2)
    assert conv.trainable == 3 * 8 * 9 + 8 and conv.frozen == 0
    image = 2 * 8 * 16 * 16
    assert conv.flops == 2 * image * 27 + image
    # a comparison and a choice
    assert made["body.1"].flops == 2 * image and made["body.1"].activation_bytes == 4 * image
    assert made["head"].flops == 2 * 2 * 8 * 10 + 20
    assert (made["head"].trainable, made["head"].frozen) == (80, 10)
    whole = made.total
    assert whole.parameters == sum(p.numel() for p in model.parameters())
    assert whole.parameter_bytes == 4 * whole.parameters
    assert whole.activation_bytes == 4 * (3 * image + 20)
    assert whole.flops > conv.flops + made["head"].flops
    assert made.buffer_bytes == 4 * 8 * 2 + 8
    assert model.body[0].weight.grad is None and not model.training


def test_symbolic_sizes_make_formulas():
    n = ig.Dim("n", min=1, max=64)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    made = nn.summary(model, ig.spec((n, 4)))
    assert str(made["0"].flops) == "72*n" and made["0"].result == "f32[n,8]"
    assert "n" in str(made)
    fixed = nn.summary(model, ig.spec((n, 4)), sizes={"n": 5})
    assert fixed["0"].flops == 360
    assert fixed.total.flops == 5 * (72 + 8 + 34) == nn.summary(model, ig.zeros(5, 4)).total.flops


def test_shared_and_recurrent_modules():
    layer = nn.Linear(4, 4, bias=False)
    made = nn.summary(nn.Sequential(layer, nn.ReLU(), layer), np.zeros((3, 4), np.float32))
    assert made["0"].calls == 2 and made["0"].flops == 2 * 2 * 3 * 16
    assert made.total.parameters == 16 and made.total.flops == 2 * 96 + 2 * 12
    lstm = nn.summary(nn.LSTM(4, 8), ig.zeros(7, 2, 4))
    assert lstm.total.flops > 7 * 2 * 2 * (4 * 32 + 8 * 32)


def test_how_it_is_shown():
    model = Net()
    text = str(nn.summary(model, ig.zeros(1, 3, 8, 8), scale=2.0))
    assert text.splitlines()[0].split() == [
        "module", "result", "trainable", "frozen", "FLOPs", "activations",
    ]  # fmt: skip
    assert "    0: Conv2d" in text and "224" in text and "FLOPs        " in text
    short = str(nn.summary(model, depth=1))
    assert "Conv2d" not in short and "head: Linear" in short and "FLOPs" not in short
    model.add_module("evil\x1b[31m<b>", nn.Identity())
    made = nn.summary(model)
    assert "\x1b" not in str(made) and "\\x1b" in str(made)
    html = made._repr_html_()
    assert "<table" in html and "<b>:" not in html and "\x1b" not in html
    with pytest.raises(ig.ArgumentError, match="Module"):
        nn.summary(5)
    with pytest.raises(KeyError):
        made["nothing"]
