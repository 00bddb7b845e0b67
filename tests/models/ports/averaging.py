"""Large batches in small pieces, and averages of weights: gradients accumulated, an exponential
average, stochastic averaging with its own schedule, batch norm brought up to date."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
from intaglio.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from intaglio.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(24, 2)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn(self.conv(x))))
        return self.fc(x.flatten(start_dim=1))


def pictures(count):
    rng = np.random.default_rng(15)
    y = np.arange(count) % 2
    x = rng.normal(0, 0.5, (count, 1, 6, 6))
    x[y == 1, :, 2:4] += 1
    x[y == 0, :, :, 2:4] += 1
    return x, y


def main(tools):
    x, y = pictures(48)
    loader = DataLoader(
        TensorDataset(torch.tensor(x), torch.tensor(y, dtype=torch.long)), batch_size=8
    )
    model = tools.start(Net())
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    swa = AveragedModel(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    swa_scheduler = SWALR(optimizer, anneal_strategy="linear", anneal_epochs=2, swa_lr=0.05)
    accumulation_steps, swa_start, losses = 3, 4, []

    def accumulate(data, target):
        loss = criterion(model(data), target) / accumulation_steps
        loss.backward()
        return loss

    accumulate = tools.compiled(accumulate)
    for epoch in range(8):
        model.train()
        optimizer.zero_grad()
        for i, (data, target) in enumerate(loader):
            losses.append(accumulate(data, target).item())
            if (i + 1) % accumulation_steps == 0:
                optimizer.step()
                optimizer.zero_grad()
                ema.update_parameters(model)
        if epoch >= swa_start:
            swa.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
        losses.append(optimizer.param_groups[0]["lr"])
    update_bn(loader, swa)
    update_bn(loader, ema)
    for averaged in (swa, ema):
        averaged.eval()
        with torch.no_grad():
            total = sum(criterion(averaged(data), target).item() for data, target in loader)
        losses.append(total)
    assert int(swa.n_averaged) == 4 and "module.conv.weight" in swa.state_dict()
    return {"losses": losses}
