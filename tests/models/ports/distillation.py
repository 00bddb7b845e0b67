"""A small network learns from a larger one: softened probabilities, a teacher without gradients."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
from intaglio.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR


class ConvNet(nn.Module):
    def __init__(self, width, classes=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(2, width, kernel_size=3, padding=1),
            nn.GroupNorm(2, width),
            nn.GELU(),
            nn.MaxPool1d(2),
            nn.Conv1d(width, width, kernel_size=3, padding="same", groups=2),
            nn.SiLU(),
        )
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        x = self.features(x).mean(-1)
        return self.classifier(x)


class DistillationLoss(nn.Module):
    def __init__(self, temperature=3.0, alpha=0.7, weight=None):
        super().__init__()
        self.T, self.alpha = temperature, alpha
        self.kl_div = nn.KLDivLoss(reduction="batchmean")
        self.hard = nn.CrossEntropyLoss(weight=weight)

    def forward(self, student, teacher, labels):
        soft = self.kl_div(
            F.log_softmax(student / self.T, dim=1), F.softmax(teacher / self.T, dim=1)
        )
        soft = soft * self.T * self.T
        return self.alpha * soft + (1.0 - self.alpha) * self.hard(student, labels)


def signals(count):
    rng = np.random.default_rng(12)
    kinds = rng.integers(0, 4, count)
    t = np.linspace(0, 6, 16)
    x = np.stack([np.sin(t[None] * (kinds[:, None] + 1)), np.cos(t[None] * kinds[:, None])], 1)
    return torch.from_numpy(x + rng.normal(0, 0.2, x.shape)), torch.from_numpy(kinds)


def main(tools):
    x, y = signals(64)
    teacher, student = tools.start(ConvNet(8), 1), tools.start(ConvNet(4), 2)
    losses = []
    optimizer = torch.optim.Adam(teacher.parameters(), 0.02)
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(teacher(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    teacher.eval()
    for param in teacher.parameters():
        param.requires_grad_(False)
    counts = torch.bincount(y, minlength=4).double()
    criterion = DistillationLoss(weight=counts.sum() / (4 * counts))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = SequentialLR(
        optimizer,
        [LinearLR(optimizer, start_factor=0.1, total_iters=3), ExponentialLR(optimizer, 0.9)],
        milestones=[3],
    )

    def step(inputs, labels):
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        student_logits = student(inputs)
        loss = criterion(student_logits, teacher_logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, (student_logits.argmax(1) == labels).float().mean()

    step = tools.compiled(step)
    student.train()
    for _ in range(10):
        for inputs, labels in zip(x.split(32), y.split(32)):
            loss, accuracy = step(inputs, labels)
            losses += [loss.item(), accuracy.item()]
        scheduler.step()
        losses.append(optimizer.param_groups[0]["lr"])
    assert all(p.grad is None or not p.requires_grad for p in teacher.parameters())
    return {"losses": losses}
