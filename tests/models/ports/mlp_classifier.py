"""A classifier: split, loader, schedule, validation, the best weights kept and read again."""

import copy

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
import intaglio.optim as optim
from intaglio.optim.lr_scheduler import StepLR
from intaglio.utils.data import DataLoader, TensorDataset, random_split


class MLP(nn.Module):
    def __init__(self, inputs, hidden, classes, drop=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(drop),
            nn.Linear(hidden, classes),
        )

    def forward(self, x):
        x = x.view(x.size(0), -1)
        return self.layers(x)


def spirals(count, classes=3):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    radius = rng.uniform(0.1, 1, count)
    angle = 4 * radius + labels * 2 * np.pi / classes + rng.normal(0, 0.1, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), labels


def train(model, device, loader, optimizer, epoch, step):
    model.train()
    running = 0.0
    for batch_idx, (data, target) in enumerate(loader):
        data, target = data.to(device), target.to(device)
        loss = step(data, target)
        running += loss.item() * data.size(0)
        if batch_idx % 10 == 0:
            print(f"Train Epoch: {epoch} [{batch_idx}/{len(loader)}]\tLoss: {loss.item():.6f}")
    return running / len(loader.dataset)


@torch.no_grad()
def evaluate(model, device, loader):
    model.eval()
    loss, correct = 0.0, 0
    for data, target in loader:
        data, target = data.to(device), target.to(device)
        output = model(data)
        loss += F.cross_entropy(output, target, reduction="sum").item()
        pred = output.argmax(dim=1, keepdim=True)
        correct += pred.eq(target.view_as(pred)).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


def main(tools):
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() and False else "cpu")
    x, y = spirals(600)
    dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y).long())
    train_set, val_set = random_split(
        dataset, [500, 100], generator=torch.Generator().manual_seed(42)
    )
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True, drop_last=False)
    val_loader = DataLoader(val_set, batch_size=100, num_workers=0, pin_memory=False)
    model = tools.start(MLP(2, 32, 3, drop=0.05).to(device))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-4)
    scheduler = StepLR(optimizer, step_size=10, gamma=0.5)

    def step(data, target):
        optimizer.zero_grad()
        loss = criterion(model(data), target)
        loss.backward()
        optimizer.step()
        return loss

    step = tools.compiled(step)
    best_acc, best_weights, rates = 0.0, None, []
    for epoch in range(1, 21):
        train(model, device, train_loader, optimizer, epoch, step)
        val_loss, val_acc = evaluate(model, device, val_loader)
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        if val_acc > best_acc:
            best_acc = val_acc
            best_weights = copy.deepcopy(model.state_dict())
            tools.save(model.state_dict(), "best")
    assert rates[0] == 0.02 and rates[10] == 0.01 and scheduler.get_last_lr() == [0.005]

    model.load_state_dict(best_weights)
    assert abs(evaluate(model, device, val_loader)[1] - best_acc) < 1e-12
    fresh = MLP(2, 32, 3).double()
    fresh.load_state_dict(tools.load("best"))
    assert abs(evaluate(fresh, device, val_loader)[1] - best_acc) < 1e-12
    print("parameters:", sum(p.numel() for p in model.parameters() if p.requires_grad))
    return {"losses": [], "score": best_acc, "wanted": 0.9}
