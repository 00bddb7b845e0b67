"""Wasserstein with a gradient penalty: derivatives of derivatives, spectral and weight norms."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
from intaglio import autograd
from intaglio.nn.utils import spectral_norm, weight_norm


def generator():
    return nn.Sequential(
        nn.Linear(4, 16), nn.ELU(), weight_norm(nn.Linear(16, 16)), nn.ELU(), nn.Linear(16, 2)
    )


def critic():
    return nn.Sequential(
        spectral_norm(nn.Linear(2, 16)), nn.Softplus(), nn.Linear(16, 16), nn.Tanh(),
        nn.Linear(16, 1),
    )  # fmt: skip


def gradient_penalty(netD, real, fake, alpha):
    interpolates = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    disc_interpolates = netD(interpolates)
    gradients = autograd.grad(
        outputs=disc_interpolates,
        inputs=interpolates,
        grad_outputs=torch.ones_like(disc_interpolates),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * 10


def main(tools):
    rng = np.random.default_rng(18)
    netG, netD = tools.start(generator(), 1), tools.start(critic(), 2)
    optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-2, betas=(0.5, 0.9))
    optimizerG = torch.optim.RMSprop(netG.parameters(), lr=1e-3)

    def train_critic(real, noise, alpha):
        for p in netD.parameters():
            p.requires_grad = True
        optimizerD.zero_grad()
        fake = netG(noise).detach()
        cost = netD(fake).mean() - netD(real).mean()
        penalty = gradient_penalty(netD, real, fake, alpha)
        (cost + penalty).backward()
        optimizerD.step()
        return cost, penalty

    def train_generator(noise):
        for p in netD.parameters():
            p.requires_grad = False
        optimizerG.zero_grad()
        cost = -netD(netG(noise)).mean()
        cost.backward()
        optimizerG.step()
        return cost

    train_critic, train_generator = tools.compiled(train_critic), tools.compiled(train_generator)
    losses = []
    for _ in range(6):
        for _ in range(2):
            angle = rng.uniform(0, 2 * np.pi, 24)
            real = torch.tensor(np.stack([np.cos(angle), np.sin(angle)], axis=1))
            noise, alpha = rng.standard_normal((24, 4)), rng.uniform(size=(24, 1))
            cost, penalty = train_critic(real, torch.tensor(noise), torch.tensor(alpha))
            losses += [cost.item(), penalty.item()]
        losses.append(train_generator(torch.tensor(rng.standard_normal((24, 4)))).item())
    state = netD.state_dict()
    assert "0.weight_orig" in state and "0.weight_u" in state
    assert "2.weight_g" in netG.state_dict() and "2.weight_v" in netG.state_dict()
    return {"losses": losses}
