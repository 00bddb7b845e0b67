"""Several heads on one stream of data: an iterable dataset, weights of losses that are learned,
class weights, a schedule that waits for a plateau, early stopping."""

import numpy as np

import intaglio as torch
from intaglio import nn
from intaglio.optim.lr_scheduler import ReduceLROnPlateau
from intaglio.utils.data import DataLoader, IterableDataset, get_worker_info


class Stream(IterableDataset):
    def __init__(self, seed, count):
        super().__init__()
        self.seed, self.count = seed, count

    def __iter__(self):
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for k in range(first, self.count, step):
            rng = np.random.default_rng((self.seed, k))
            x = rng.normal(size=6)
            kind = 2 if rng.random() < 0.1 else int(x[0] > x[1])
            yield (
                x,
                {
                    "price": np.array([x.sum() + 0.1 * rng.normal()]),
                    "kind": kind,
                    "flags": torch.tensor(
                        [float(x[2] > 0), float(x[3] > 0.5)], dtype=torch.float64
                    ),
                },
            )


class EarlyStopping:
    def __init__(self, patience=3, min_delta=0.0):
        self.patience, self.min_delta, self.counter = patience, min_delta, 0
        self.best, self.early_stop = float("inf"), False

    def __call__(self, value):
        if value < self.best - self.min_delta:
            self.best, self.counter = value, 0
        else:
            self.counter += 1
            self.early_stop = self.counter >= self.patience


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 20), nn.LayerNorm(20), nn.Mish())
        self.heads = nn.ModuleDict(
            {"price": nn.Linear(20, 1), "kind": nn.Linear(20, 3), "flags": nn.Linear(20, 2)}
        )
        self.log_vars = nn.ParameterDict({k: nn.Parameter(torch.zeros(1)) for k in self.heads})

    def forward(self, x):
        h = self.trunk(x)
        return {name: head(h) for name, head in self.heads.items()}


def main(tools):
    model = tools.start(MultiTask())
    weights = torch.tensor([0.5, 0.5, 2.0], dtype=torch.float64)
    criteria = {
        "price": nn.HuberLoss(delta=0.5),
        "kind": nn.CrossEntropyLoss(weight=weights, ignore_index=1),
        "flags": nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0])),
    }
    optimizer = torch.optim.Adamax(
        [{"params": model.trunk.parameters()},
         {"params": [*model.heads.parameters(), *model.log_vars.parameters()], "lr": 0.02}],
        lr=0.01,
    )  # fmt: skip
    scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.3, patience=1, threshold=0.05)
    stopping, losses = EarlyStopping(patience=3, min_delta=0.0), []

    def total(outputs, targets):
        found = 0
        for name, criterion in criteria.items():
            precision = torch.exp(-model.log_vars[name])
            found = found + precision * criterion(outputs[name], targets[name])
            found = found + model.log_vars[name]
        return found.squeeze()

    def step(x, targets):
        optimizer.zero_grad()
        loss = total(model(x), targets)
        loss.backward()
        optimizer.step()
        return loss

    step = tools.compiled(step)
    for epoch in range(12):
        model.train()
        for x, targets in DataLoader(Stream(epoch, 48), batch_size=16):
            losses.append(step(x, targets).item())
        model.eval()
        values = []
        with torch.no_grad():
            for x, targets in DataLoader(Stream(100, 32), batch_size=16, num_workers=0):
                values.append(total(model(x), targets).item())
        value = float(np.mean(values))
        scheduler.step(value)
        stopping(value)
        losses += [value, *(group["lr"] for group in optimizer.param_groups)]
        if stopping.early_stop:
            print("Early stopping in epoch", epoch)
            break
    return {"losses": losses}
