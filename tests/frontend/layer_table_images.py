"""The rows of `layer_table` for convolutions, pooling, padding and resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.frontend.layer_table import Case, case, normal, tensor

LINE, IMAGE, VOLUME = (2, 4, 7), (2, 4, 5, 6), (1, 2, 4, 3, 5)

CONVOLUTIONS = {
    "Conv1d": [
        case(4, 6, 3, x=LINE), case(4, 6, 3, x=(4, 7)), case(4, 2, 2, stride=2, x=LINE),
        case(4, 6, 3, padding=2, x=LINE), case(4, 6, 3, padding="same", x=LINE),
        case(4, 6, 4, padding="same", dilation=2, x=(1, 4, 9)),
        case(4, 6, 3, padding="valid", x=LINE),
        case(4, 6, 3, dilation=2, x=LINE), case(4, 6, 3, groups=2, x=LINE),
        case(4, 4, 3, groups=4, bias=False, x=LINE), case(4, 8, 1, groups=4, x=LINE),
        case(4, 6, (3,), (2,), (1,), (1,), 2, False, x=LINE),
        case(4, 6, 3, padding=2, padding_mode="reflect", x=LINE),
        case(4, 6, 3, padding=2, padding_mode="replicate", x=LINE),
        case(4, 6, 3, padding=2, padding_mode="circular", x=LINE),
        case(4, 6, 4, padding="same", padding_mode="circular", x=LINE),
        case(4, 6, 3, padding="valid", padding_mode="reflect", x=LINE),
    ],
    "Conv2d": [
        case(4, 6, 3, x=IMAGE), case(4, 3, 3, x=(4, 5, 6)), case(4, 3, (1, 3), x=IMAGE),
        case(4, 3, 3, stride=2, padding=1, x=IMAGE), case(4, 3, 3, (2, 1), (0, 2), x=IMAGE),
        case(4, 3, 3, padding="same", x=IMAGE), case(4, 3, (2, 4), padding="same", x=IMAGE),
        case(4, 3, 3, padding="valid", x=IMAGE), case(4, 3, 2, dilation=(2, 1), x=IMAGE),
        case(4, 6, 3, groups=2, x=IMAGE), case(4, 8, 3, groups=4, padding=1, x=IMAGE),
        case(4, 3, 1, bias=False, x=IMAGE), case(4, 3, 5, stride=3, padding=2, x=IMAGE),
        case(4, 3, 3, padding=(1, 2), padding_mode="reflect", x=IMAGE),
        case(4, 3, 3, padding=(1, 2), padding_mode="replicate", x=IMAGE),
        case(4, 3, 3, padding=(1, 2), padding_mode="circular", x=IMAGE),
        case(4, 4, 3, 2, 2, 2, 2, True, "replicate", x=IMAGE),
        case(4, 3, (2, 4), padding="same", padding_mode="replicate", x=IMAGE),
    ],
    "Conv3d": [
        case(2, 3, 2, x=VOLUME), case(2, 3, (1, 3, 2), padding=(0, 1, 0), x=VOLUME),
        case(2, 4, 2, stride=2, groups=2, bias=False, x=VOLUME),
        case(2, 2, 3, padding="same", x=VOLUME),
        case(2, 2, 2, padding=1, padding_mode="circular", dilation=(1, 2, 1), x=VOLUME),
        case(2, 2, 2, x=VOLUME[1:]),
    ],
    "ConvTranspose1d": [
        case(4, 6, 3, x=LINE), case(4, 6, 3, x=(4, 7)), case(4, 2, 3, stride=2, x=LINE),
        case(4, 6, 3, padding=1, x=LINE), case(4, 6, 3, stride=3, output_padding=2, x=LINE),
        case(4, 6, 3, groups=2, x=LINE), case(4, 6, 3, bias=False, dilation=2, x=LINE),
        case(4, 6, 3, 2, x=[LINE, [16]]), case(4, 6, 3, stride=2, x=[LINE, [2, 6, 15]]),
        case(4, 6, (3,), (2,), (1,), (1,), 2, False, (2,), x=LINE),
    ],
    "ConvTranspose2d": [
        case(4, 6, 3, x=IMAGE), case(4, 3, 3, x=(4, 5, 6)), case(4, 3, 3, stride=2, x=IMAGE),
        case(4, 3, (2, 3), (2, 1), (1, 0), x=IMAGE), case(4, 3, 3, 2, 1, 1, x=IMAGE),
        case(4, 6, 3, groups=2, bias=False, x=IMAGE), case(4, 3, 2, dilation=(2, 1), x=IMAGE),
        case(4, 3, 3, stride=2, padding=1, x=[IMAGE, [10, 11]]),
        case(4, 3, 3, stride=2, dilation=3, output_padding=2, x=IMAGE),
        case(4, 4, 3, groups=4, stride=(3, 2), output_padding=(2, 1), x=IMAGE),
    ],
    "ConvTranspose3d": [
        case(2, 3, 2, x=VOLUME), case(2, 3, 3, stride=2, padding=1, output_padding=1, x=VOLUME),
        case(2, 4, (1, 2, 2), groups=2, bias=False, dilation=(1, 2, 1), x=VOLUME),
        case(2, 2, 2, x=VOLUME[1:]),
    ],
    "Fold": [
        case((4, 5), (2, 2), x=(2, 8, 12)),
        case((4, 5), 2, dilation=2, padding=1, stride=2, x=(2, 8, 6)),
        case(4, 2, stride=2, x=(8, 4)),
    ],
    "Unfold": [
        case(2, x=IMAGE), case((2, 3), dilation=(2, 1), padding=1, stride=(1, 2), x=IMAGE),
        case(2, x=IMAGE[1:]),
    ],
}  # fmt: skip


def _positions(*shape: int, plane: int) -> np.ndarray[Any, Any]:
    """Different positions in a plane for each channel."""
    rng = np.random.default_rng(5)
    count = int(np.prod(shape[2:]))
    drawn = [rng.permutation(plane)[:count] for _ in range(shape[0] * shape[1])]
    return np.array(drawn).reshape(shape)


POOLING = {
    "MaxPool1d": [
        case(2, x=LINE), case(3, 1, x=LINE), case(3, 2, 1, x=LINE), case(2, dilation=2, x=LINE),
        case(3, stride=2, ceil_mode=True, x=LINE), case(3, padding=1, return_indices=True, x=LINE),
        case(2, 1, 1, 2, True, True, x=LINE), case((2,), (3,), x=(4, 7)),
    ],
    "MaxPool2d": [
        case(2, x=IMAGE), case((2, 3), x=IMAGE), case(3, 2, 1, x=IMAGE),
        case(2, stride=(2, 1), x=IMAGE),
        case(2, dilation=(2, 1), stride=1, x=IMAGE), case(2, ceil_mode=True, x=IMAGE),
        case(3, 2, return_indices=True, ceil_mode=True, x=IMAGE),
        case(2, return_indices=True, x=(4, 5, 6)),
        case((3, 2), (2, 3), (1, 0), (1, 2), True, True, x=IMAGE),
    ],
    "MaxPool3d": [
        case(2, x=VOLUME), case((2, 1, 3), 1, (1, 0, 1), x=VOLUME),
        case(2, ceil_mode=True, x=VOLUME),
        case(2, 1, return_indices=True, x=VOLUME), case(2, 1, dilation=2, x=VOLUME[:2] + (4, 4, 4)),
        case(2, x=VOLUME[1:]),
    ],
    "MaxUnpool1d": [
        case(2, x=[(2, 3, 4), _positions(2, 3, 4, plane=8)]),
        case(2, stride=3, padding=1, x=[(2, 3, 4), _positions(2, 3, 4, plane=9)]),
        case(2, x=[(2, 3, 4), _positions(2, 3, 4, plane=9), [9]]),
    ],
    "MaxUnpool2d": [
        case(2, x=[(2, 3, 2, 3), _positions(2, 3, 2, 3, plane=24)]),
        case(3, (2, 1), 1, x=[(2, 3, 2, 3), _positions(2, 3, 2, 3, plane=9)]),
        case((2, 2), x=[(2, 3, 2, 3), _positions(2, 3, 2, 3, plane=24), [5, 7]]),
    ],
    "MaxUnpool3d": [case(2, x=[(1, 2, 2, 1, 2), _positions(1, 2, 2, 1, 2, plane=32)])],
    "AvgPool1d": [
        case(2, x=LINE), case(3, 2, 1, x=LINE), case(3, 2, 1, True, x=LINE),
        case(3, 2, 1, ceil_mode=True, count_include_pad=False, x=LINE),
        case(3, stride=1, padding=1, count_include_pad=False, x=(4, 7)),
    ],
    "AvgPool2d": [
        case(2, x=IMAGE), case((2, 3), x=IMAGE), case(3, 2, 1, x=IMAGE),
        case(2, ceil_mode=True, x=IMAGE),
        case(3, 2, 1, ceil_mode=True, count_include_pad=False, x=IMAGE),
        case(3, (1, 2), (1, 0), divisor_override=5, x=IMAGE), case(2, x=IMAGE[1:]),
        case(3, 2, 1, True, True, 2, x=IMAGE), case(3, 2, 1, True, x=IMAGE),
    ],
    "AvgPool3d": [
        case(2, x=VOLUME), case((2, 1, 3), 1, (1, 0, 1), x=VOLUME),
        case(2, ceil_mode=True, x=VOLUME),
        case(2, 2, 1, count_include_pad=False, x=VOLUME), case(2, divisor_override=3, x=VOLUME[1:]),
    ],
    "LPPool1d": [case(2, 3, x=LINE), case(1.5, 2, stride=1, ceil_mode=True, x=(4, 7))],
    "LPPool2d": [
        case(2, 2, x=IMAGE), case(3, (2, 3), (1, 2), True, x=IMAGE),
        case(norm_type=1, kernel_size=2, x=IMAGE),
    ],
    "LPPool3d": [case(2, 2, x=VOLUME), case(3, (2, 1, 2), 1, x=VOLUME)],
    "AdaptiveAvgPool1d": [case(3, x=LINE), case((1,), x=LINE), case(7, x=(4, 7)), case(9, x=LINE)],
    "AdaptiveAvgPool2d": [
        case(1, x=IMAGE), case((3, 4), x=IMAGE), case((None, 2), x=IMAGE), case(2, x=IMAGE[1:]),
        case((7, None), x=IMAGE),
    ],
    "AdaptiveAvgPool3d": [case(2, x=VOLUME), case((1, None, 3), x=VOLUME)],
    "AdaptiveMaxPool1d": [case(3, x=LINE), case(2, True, x=LINE), case(1, x=(4, 7))],
    "AdaptiveMaxPool2d": [
        case(2, x=IMAGE), case((3, 4), return_indices=True, x=IMAGE), case((None, 2), x=IMAGE),
        case(1, x=IMAGE[1:]),
    ],
    "AdaptiveMaxPool3d": [case(2, x=VOLUME), case((1, None, 3), return_indices=True, x=VOLUME)],
    "FractionalMaxPool2d": [
        case(2, output_size=(3, 4), _random_samples=tensor(np.full((2, 4, 2), 0.3)), x=IMAGE),
        case((2, 2), None, (0.6, 0.5), True, tensor(normal(2, 4, 2) % 1), x=IMAGE),
    ],
    "FractionalMaxPool3d": [
        case(2, output_size=2, _random_samples=tensor(np.full((1, 2, 3), 0.4)), x=(1, 2, 4, 4, 5)),
    ],
}  # fmt: skip

PADDING = {
    **{
        f"{kind}Pad1d": [case(2, x=LINE), case((1, 0), x=LINE), case((0, 3), x=(4, 7))]
        for kind in ("Circular", "Reflection", "Replication", "Zero")
    },
    **{
        f"{kind}Pad2d": [case(2, x=IMAGE), case((1, 0, 2, 3), x=IMAGE), case((0, 1, 0, 0), x=IMAGE)]
        for kind in ("Circular", "Reflection", "Replication", "Zero")
    },
    **{
        f"{kind}Pad3d": [case(1, x=VOLUME), case((1, 0, 2, 1, 0, 3), x=VOLUME)]
        for kind in ("Circular", "Reflection", "Replication", "Zero")
    },
    "ConstantPad1d": [case(2, 0.5, x=LINE), case((1, -2), -3.0, x=LINE)],
    "ConstantPad2d": [case(2, 0.5, x=IMAGE), case((1, -2, 0, 3), value=2.0, x=IMAGE)],
    "ConstantPad3d": [case(1, 0.5, x=VOLUME), case((1, 0, 2, -1, 0, 3), 1.0, x=VOLUME)],
}

RESIZING = {
    "Upsample": [
        case(scale_factor=2, x=LINE), case(9, x=LINE), case(scale_factor=2, mode="linear", x=LINE),
        case(5, mode="linear", align_corners=True, x=LINE), case(scale_factor=1.5, x=IMAGE),
        case(scale_factor=(2, 3), x=IMAGE), case((7, 4), x=IMAGE),
        case(scale_factor=2, mode="bilinear", x=IMAGE), case((3, 9), mode="bilinear", x=IMAGE),
        case((7, 4), mode="bilinear", align_corners=True, x=IMAGE),
        case(scale_factor=1.7, mode="bilinear", x=IMAGE),
        case(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True, x=IMAGE),
        case(scale_factor=2, mode="bicubic", x=IMAGE),
        case((7, 4), mode="bicubic", align_corners=True, x=IMAGE),
        case(scale_factor=2, mode="trilinear", x=VOLUME), case(scale_factor=2, x=VOLUME),
        case((3, 5, 4), mode="trilinear", align_corners=True, x=VOLUME),
    ],
    "UpsamplingNearest2d": [case(scale_factor=2, x=IMAGE), case((7, 4), x=IMAGE)],
    "UpsamplingBilinear2d": [case(scale_factor=2, x=IMAGE), case(size=(7, 4), x=IMAGE)],
    "PixelShuffle": [case(2, x=IMAGE), case(2, x=(8, 2, 3)), case(upscale_factor=1, x=IMAGE)],
    "PixelUnshuffle": [case(2, x=(2, 3, 4, 6)), case(3, x=(2, 3, 6))],
}  # fmt: skip

CASES: dict[str, list[Case]] = CONVOLUTIONS | POOLING | PADDING | RESIZING
