"""A variational autoencoder: two heads, the reparametrisation trick, a loss of two parts."""

import numpy as np

import intaglio as torch
from intaglio import nn, optim
from intaglio.nn import functional as F


class VAE(nn.Module):
    def __init__(self, size=36, hidden=24, latent=4):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(size, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, size)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar, noise=None):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std) if noise is None else noise
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x, noise=None):
        mu, logvar = self.encode(x.view(-1, 36))
        z = self.reparameterize(mu, logvar, noise)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 36), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


def squares(count):
    rng = np.random.default_rng(1)
    images = np.zeros((count, 1, 6, 6))
    for image in images:
        top, left, size = rng.integers(0, 3), rng.integers(0, 3), rng.integers(2, 4)
        image[0, top : top + size, left : left + size] = 1
    return images


def main(tools):
    images, rng = squares(128), np.random.default_rng(2)
    model = tools.start(VAE())
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []

    def step(data, noise):
        optimizer.zero_grad(set_to_none=True)
        recon_batch, mu, logvar = model(data, noise)
        loss = loss_function(recon_batch, data, mu, logvar)
        loss.backward()
        optimizer.step()
        return loss

    step = tools.compiled(step)
    for epoch in range(20):
        model.train()
        train_loss = 0
        for start in range(0, len(images), 32):
            data = torch.tensor(images[start : start + 32])
            noise = torch.from_numpy(rng.standard_normal((len(data), 4)))
            loss = step(data, noise)
            train_loss += loss.item()
            losses.append(loss.item())
        print(f"====> Epoch: {epoch} Average loss: {train_loss / len(images):.4f}")
    model.eval()
    with torch.no_grad():
        sample = torch.randn(8, 4).to(next(model.parameters()).dtype)
        sample = model.decode(sample).cpu().view(8, 1, 6, 6)
        assert sample.min() >= 0 and sample.max() <= 1
        again, _, _ = model(torch.tensor(images[:3]))
        assert again.shape == (3, 36)
    return {"losses": losses}
