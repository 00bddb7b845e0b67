"""Embeddings by triplets: distances of all pairs, the hardest ones mined, neighbours looked up."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F


class EmbeddingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(5, 16), nn.PReLU(), nn.Linear(16, 16), nn.PReLU(), nn.Linear(16, 3)
        )

    def forward(self, x):
        return F.normalize(self.fc(x), p=2, dim=1)


class TripletNet(nn.Module):
    def __init__(self, embedding_net):
        super().__init__()
        self.embedding_net = embedding_net

    def forward(self, x1, x2, x3):
        return self.embedding_net(x1), self.embedding_net(x2), self.embedding_net(x3)


def batch_hard(embeddings, labels, margin=0.3):
    distances = torch.cdist(embeddings, embeddings)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    eye = torch.eye(labels.size(0), dtype=torch.bool)
    positive = (distances * (same & ~eye)).max(dim=1)[0]
    negative = distances.masked_fill(same, float("inf")).min(dim=1)[0]
    return F.relu(positive - negative + margin).mean()


def clusters(count):
    rng = np.random.default_rng(13)
    labels = np.arange(count) % 4
    return np.eye(5)[labels] * 1.5 + rng.normal(0, 0.5, (count, 5)), labels


def main(tools):
    x, y = clusters(64)
    rng = np.random.default_rng(14)
    model = tools.start(TripletNet(EmbeddingNet()))
    criterion = nn.TripletMarginLoss(margin=0.5, p=2, swap=True)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[10, 15], gamma=0.3)
    data, labels = torch.from_numpy(x), torch.from_numpy(y)

    def step(a, p, n, inputs, classes):
        anchor, positive, negative = model(a, p, n)
        loss = criterion(anchor, positive, negative)
        embedded = model.embedding_net(inputs)
        loss = loss + 0.5 * batch_hard(embedded, classes)
        loss += 0.1 * F.cosine_embedding_loss(anchor, negative, -torch.ones(a.size(0)), margin=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step, losses = tools.compiled(step), []
    for _ in range(20):
        anchors = rng.permutation(64)[:24]
        positives = [int(rng.choice(np.flatnonzero(y == y[k]))) for k in anchors]
        negatives = [int(rng.choice(np.flatnonzero(y != y[k]))) for k in anchors]
        rows = torch.as_tensor(rng.permutation(64)[:16])
        losses.append(
            step(
                data[torch.tensor(anchors)], data[positives], data[negatives], data[rows],
                labels[rows],
            ).item()
        )  # fmt: skip
        scheduler.step()
    model.eval()
    with torch.inference_mode():
        embedded = model.embedding_net(data)
        similarity = embedded @ embedded.T
        similarity.fill_diagonal_(-1)
        nearest = similarity.topk(3, dim=1).indices
        votes = torch.mode(labels[nearest], dim=1).values
        accuracy = votes.eq(labels).float().mean().item()
        together = F.cosine_similarity(embedded[:1], embedded, dim=-1).sum().item()
    return {"losses": [*losses, accuracy, together]}
