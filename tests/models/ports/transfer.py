"""A residual network taken to new classes: frozen layers, a new head, groups with rates of their
own, a hook that keeps features."""

import numpy as np

import intaglio as torch
from intaglio import nn, optim
from intaglio.optim import lr_scheduler


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inplanes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.layer1 = self._make_layer(4, 4, 1)
        self.layer2 = self._make_layer(4, 8, 1, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, inplanes, planes, blocks, stride=1):
        layers = [BasicBlock(inplanes, planes, stride)]
        layers += [BasicBlock(planes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def images(count):
    rng = np.random.default_rng(6)
    y = np.arange(count) % 3
    x = rng.normal(0, 0.3, (count, 3, 8, 8))
    x[np.arange(count), y] += 0.5
    return torch.from_numpy(x), torch.from_numpy(y)


def main(tools):
    x, y = images(48)
    model = tools.start(ResNet(num_classes=10))
    for name, param in model.named_parameters():
        if name.startswith(("stem", "layer1")):
            param.requires_grad = False
    num_ftrs = model.fc.in_features
    model.fc = tools.start(nn.Linear(num_ftrs, 3), 7)
    features = {}

    def keep(name):
        def hook(module, input, output):
            features[name] = output.detach().flatten(1)

        return hook

    handle = model.avgpool.register_forward_hook(keep("avgpool"))
    optimizer = optim.SGD(
        [
            {"params": filter(lambda p: p.requires_grad, model.layer2.parameters())},
            {"params": model.fc.parameters(), "lr": 0.1, "momentum": 0.8},
        ],
        lr=0.01,
        momentum=0.9,
        nesterov=True,
    )
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=5, eta_min=1e-4)
    before = model.stem[0].weight.detach().clone()
    losses = []
    for _ in range(5):
        for phase in ["train", "val"]:
            model.train(phase == "train")
            for start in range(0, 48, 16):
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(x[start : start + 16])
                    _, preds = torch.max(outputs, 1)
                    loss = nn.functional.cross_entropy(outputs, y[start : start + 16])
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                losses += [loss.item(), torch.sum(preds == y[start : start + 16]).item()]
        scheduler.step()
        losses += scheduler.get_last_lr()
    handle.remove()
    assert features["avgpool"].shape == (16, 8)
    assert model.stem[0].weight.grad is None and torch.equal(before, model.stem[0].weight)
    return {"losses": losses}
