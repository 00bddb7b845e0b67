"""An image as the thing that is learned: features by hooks, Gram matrices, total variation."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
from intaglio.optim import Adam


class Normalization(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, img):
        return (img - self.mean) / self.std


def gram_matrix(input):
    a, b, c, d = input.size()
    features = input.view(a * b, c * d)
    G = torch.mm(features, features.t())
    return G.div(a * b * c * d)


def total_variation(image):
    return (image[..., 1:, :] - image[..., :-1, :]).abs().mean() + (
        image[..., :, 1:] - image[..., :, :-1]
    ).abs().mean()


class FeatureExtractor:
    def __init__(self, network, names):
        self.network, self.kept = network, {}
        for name, module in network.named_modules():
            if name in names:
                module.register_forward_hook(self._hook(name))

    def _hook(self, name):
        def fn(_, __, output):
            self.kept[name] = output

        return fn

    def __call__(self, image):
        self.network(image)
        found = dict(self.kept)
        self.kept.clear()
        return found


def main(tools):
    rng = np.random.default_rng(17)
    network = nn.Sequential()
    network.add_module("norm", Normalization([0.5, 0.4, 0.4], [0.25, 0.25, 0.2]))
    network.add_module("conv1", nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"))
    network.add_module("relu1", nn.ReLU(inplace=False))
    network.add_module("pool", nn.AvgPool2d(2, 2))
    network.add_module("conv2", nn.Conv2d(6, 8, 3, padding=1))
    network.add_module("relu2", nn.ReLU())
    network = tools.start(network).eval().requires_grad_(False)
    extract = FeatureExtractor(network, {"relu1", "relu2"})
    content = torch.from_numpy(rng.uniform(size=(1, 3, 12, 12)))
    style = torch.from_numpy(rng.uniform(size=(1, 3, 12, 12))).flip(-1)
    with torch.no_grad():
        content_target = extract(content)["relu2"]
        style_targets = {k: gram_matrix(v) for k, v in extract(style).items()}
    image = content.clone().requires_grad_(True)
    optimizer = Adam([image], lr=0.05)

    def step():
        optimizer.zero_grad()
        found = extract(image)
        content_loss = F.mse_loss(found["relu2"], content_target)
        style_loss = 0
        for name, target in style_targets.items():
            style_loss += F.mse_loss(gram_matrix(found[name]), target)
        loss = content_loss + 1e3 * style_loss + 0.1 * total_variation(image)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        return loss

    step = tools.compiled(step)
    losses = [step().item() for _ in range(15)]
    assert image.is_leaf and float(image.min()) >= 0 and float(image.max()) <= 1
    resized = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    return {"losses": [*losses, resized.detach().square().sum().item()]}
