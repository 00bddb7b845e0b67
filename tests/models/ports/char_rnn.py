"""Names by characters: packed sequences of several lengths through an LSTM, clipped gradients."""

import numpy as np

import intaglio as torch
import intaglio.nn as nn
from intaglio.nn.utils import clip_grad_norm_
from intaglio.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

NAMES = ["anna", "hannah", "otto", "bob", "eve", "elle", "ada", "mim", "level", "radar", "noon"]
ALPHABET = "." + "".join(sorted(set("".join(NAMES))))
STOI = {c: i for i, c in enumerate(ALPHABET)}


class CharRNN(nn.Module):
    def __init__(self, vocab, embed=12, hidden=24, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed, padding_idx=0)
        self.rnn = nn.LSTM(embed, hidden, num_layers=layers, batch_first=True, dropout=0.0)
        self.decoder = nn.Linear(hidden, vocab)
        self.hidden, self.layers = hidden, layers

    def forward(self, x, lengths, hidden=None):
        embedded = self.embedding(x)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        output, hidden = self.rnn(packed, hidden)
        output, _ = pad_packed_sequence(output, batch_first=True)
        return self.decoder(output), hidden

    def init_hidden(self, batch_size):
        weight = next(self.parameters())
        return (
            weight.new_zeros(self.layers, batch_size, self.hidden),
            weight.new_zeros(self.layers, batch_size, self.hidden),
        )


def batch_of(names):
    seqs = [torch.tensor([STOI[c] for c in "." + name]) for name in names]
    targets = [torch.tensor([STOI[c] for c in name + "."]) for name in names]
    lengths = torch.tensor([len(s) for s in seqs])
    x = pad_sequence(seqs, batch_first=True)
    y = pad_sequence(targets, batch_first=True, padding_value=-100)
    return x, y, lengths


@torch.no_grad()
def sample(model, first, limit=12):
    model.eval()
    hidden, x, text = model.init_hidden(1), torch.tensor([[STOI[first]]]), first
    for _ in range(limit):
        logits, hidden = model(x, torch.tensor([1]), hidden)
        k = logits[0, -1].argmax().item()
        if k == 0:
            break
        text += ALPHABET[k]
        x = torch.tensor([[k]])
    model.train()
    return text


def main(tools):
    model = tools.start(CharRNN(len(ALPHABET)))
    criterion = nn.CrossEntropyLoss(ignore_index=-100)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
    rng, losses, norms = np.random.default_rng(3), [], []
    for epoch in range(30):
        names = [NAMES[k] for k in rng.permutation(len(NAMES))[:8]]
        x, y, lengths = batch_of(names)
        optimizer.zero_grad()
        hidden = tuple(h.detach() for h in model.init_hidden(len(names)))
        logits, hidden = model(x, lengths, hidden)
        loss = criterion(logits.reshape(-1, logits.size(-1)), y.reshape(-1))
        loss.backward()
        norms.append(float(clip_grad_norm_(model.parameters(), max_norm=1.0)))
        optimizer.step()
        losses.append(loss.item())
    print("sampled:", sample(model, "a"))
    assert torch.all(model.embedding.weight.grad[0] == 0)
    perplexity = torch.exp(torch.tensor(losses[-1]))
    assert perplexity < 9
    return {"losses": losses + norms}
