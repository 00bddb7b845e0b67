"""Curves fitted by LBFGS with a closure, and a function of plain tensors minimised."""

import numpy as np

import intaglio as torch
from intaglio import nn, optim


class Damped(nn.Module):
    def __init__(self):
        super().__init__()
        self.amplitude = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.decay = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self.frequency = nn.Parameter(torch.tensor([1.8], dtype=torch.float64))
        self.register_parameter("phase", nn.Parameter(torch.zeros(1, dtype=torch.float64)))

    def forward(self, t):
        wave = torch.sin(self.frequency * t + self.phase)
        return self.amplitude * torch.exp(-self.decay * t) * wave

    def extra_repr(self):
        return f"decay={self.decay.item():.3f}"


def main(tools):
    t = torch.linspace(0, 6, 80, dtype=torch.float64)
    rng = np.random.default_rng(16)
    y = 1.5 * torch.exp(-0.3 * t) * torch.sin(2 * t + 0.4) + torch.tensor(rng.normal(0, 0.01, 80))
    model = Damped()
    optimizer = optim.LBFGS(
        model.parameters(), lr=1, max_iter=10, history_size=5, line_search_fn="strong_wolfe"
    )
    mse, losses = nn.MSELoss(), []

    def fit(t, y):
        loss = mse(model(t), y)
        loss.backward()
        return loss

    fit = tools.compiled(fit)

    def closure():
        optimizer.zero_grad()
        return fit(t, y)

    for _ in range(6):
        losses.append(optimizer.step(closure).item())
    assert abs(model.frequency.item() - 2) < 0.02 and "decay=0.3" in repr(model)
    losses += [p.item() for p in model.parameters()]

    point = torch.tensor([-1.5, 1.0], dtype=torch.float64, requires_grad=True)
    second = optim.LBFGS([point], lr=0.8, max_iter=4, line_search_fn=None)

    def rosenbrock():
        if torch.is_grad_enabled():
            second.zero_grad()
        x, z = point
        value = (1 - x) ** 2 + 10 * (z - x**2) ** 2
        if value.requires_grad:
            value.backward()
        return value

    for _ in range(5):
        losses.append(float(second.step(rosenbrock)))
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    points = torch.tensor(rng.normal(size=(40, 3)))
    signs = torch.sign(points @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    for k in range(20):
        loss = torch.log1p(torch.exp(-signs * (points @ w))).mean() + 1e-3 * w.norm() ** 2
        (grad,) = torch.autograd.grad(loss, [w])
        with torch.no_grad():
            w -= 0.5 * grad
        losses.append(loss.item())
    return {"losses": losses}
