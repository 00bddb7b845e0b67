"""Sequences of several lengths: a dataset, a sampler and a collate function of one's own."""

import numpy as np

import intaglio as torch
from intaglio import nn
from intaglio.nn.utils.rnn import pad_sequence
from intaglio.utils.data import DataLoader, Dataset, Sampler


class Waves(Dataset):
    def __init__(self, count, transform=None):
        self.rng = np.random.default_rng(8)
        self.lengths = self.rng.integers(3, 9, count).tolist()
        self.phases = self.rng.uniform(0, 6, count)
        self.transform = transform

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        t = np.arange(self.lengths[idx])
        wave = np.stack([np.sin(t + self.phases[idx]), np.cos(t + self.phases[idx])], axis=1)
        sample = {"wave": torch.as_tensor(wave), "index": idx}
        if self.transform:
            sample = self.transform(sample)
        return sample


class ByLength(Sampler):
    """Batches of similar lengths, in an order of their own in every epoch."""

    def __init__(self, lengths, batch_size):
        self.lengths, self.batch_size, self.epoch = lengths, batch_size, 0

    def __len__(self):
        return (len(self.lengths) + self.batch_size - 1) // self.batch_size

    def __iter__(self):
        order = sorted(range(len(self.lengths)), key=lambda k: self.lengths[k])
        batches = [order[k : k + self.batch_size] for k in range(0, len(order), self.batch_size)]
        np.random.default_rng(self.epoch).shuffle(batches)
        self.epoch += 1
        yield from batches


def collate(samples):
    waves = [s["wave"] for s in samples]
    lengths = torch.tensor([len(w) for w in waves])
    padded = pad_sequence(waves, batch_first=True)
    mask = torch.arange(padded.size(1))[None, :] < lengths[:, None]
    return padded, mask, torch.LongTensor([s["index"] for s in samples])


class AutoEncoder(nn.Module):
    def __init__(self, size=2, hidden=12):
        super().__init__()
        self.encoder = nn.GRU(size, hidden, batch_first=True)
        self.decoder = nn.GRUCell(size, hidden)
        self.head = nn.Linear(hidden, size)

    def forward(self, x, mask):
        states, _ = self.encoder(x)
        last = mask.sum(1) - 1
        h = states[torch.arange(len(x)), last]
        outputs, step = [], torch.zeros_like(x[:, 0])
        for _ in range(x.size(1)):
            h = self.decoder(step, h)
            step = self.head(h)
            outputs.append(step)
        return torch.stack(outputs, dim=1)


def main(tools):
    dataset = Waves(40, transform=lambda s: {**s, "wave": s["wave"] * 0.9})
    loader = DataLoader(
        dataset, batch_sampler=ByLength(dataset.lengths, 8), collate_fn=collate, num_workers=0
    )
    model = tools.start(AutoEncoder())
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.02)
    seen, losses = set(), []
    for _ in range(6):
        for x, mask, index in loader:
            optimizer.zero_grad()
            y = model(x, mask)
            loss = ((y - x) ** 2 * mask.unsqueeze(-1)).sum() / mask.sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seen.update(index.tolist())
    assert seen == set(range(40)) and len(loader) == 5
    return {"losses": losses}
