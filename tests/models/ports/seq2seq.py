"""Reversing digits: encoder, attention, decoder step by step, teacher forcing, greedy decoding."""

import random

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
from intaglio import optim

SOS, EOS, WORDS = 10, 11, 12


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size, dropout_p=0.0):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, input):
        embedded = self.dropout(self.embedding(input))
        output, hidden = self.gru(embedded)
        hidden = torch.tanh(self.join(torch.cat((hidden[0], hidden[1]), dim=1))).unsqueeze(0)
        return self.join(output), hidden


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
        scores = scores.squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size, length):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)
        self.length = length

    def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
        batch_size = encoder_outputs.size(0)
        decoder_input = torch.empty(batch_size, 1, dtype=torch.long).fill_(SOS)
        decoder_hidden = encoder_hidden
        decoder_outputs, attentions = [], []
        for i in range(self.length):
            decoder_output, decoder_hidden, weights = self.forward_step(
                decoder_input, decoder_hidden, encoder_outputs
            )
            decoder_outputs.append(decoder_output)
            attentions.append(weights)
            if target_tensor is not None:
                decoder_input = target_tensor[:, i].unsqueeze(1)
            else:
                _, topi = decoder_output.topk(1)
                decoder_input = topi.squeeze(-1).detach()
        decoder_outputs = torch.cat(decoder_outputs, dim=1)
        return F.log_softmax(decoder_outputs, dim=-1), decoder_hidden, torch.cat(attentions, dim=1)

    def forward_step(self, input, hidden, encoder_outputs):
        embedded = self.embedding(input)
        query = hidden.permute(1, 0, 2)
        context, weights = self.attention(query, encoder_outputs)
        output, hidden = self.gru(torch.cat((embedded, context), dim=2), hidden)
        return self.out(output), hidden, weights


def main(tools):
    random.seed(4)
    rng, length, hidden = np.random.default_rng(4), 4, 20
    encoder = tools.start(EncoderRNN(WORDS, hidden), 1)
    decoder = tools.start(AttnDecoderRNN(hidden, WORDS, length + 1), 2)
    encoder_optimizer = optim.Adam(encoder.parameters(), lr=0.01)
    decoder_optimizer = optim.Adam(decoder.parameters(), lr=0.01)
    criterion = nn.NLLLoss()

    def step(source, target, forced):
        encoder_optimizer.zero_grad()
        decoder_optimizer.zero_grad()
        encoder_outputs, encoder_hidden = encoder(source)
        outputs, _, _ = decoder(encoder_outputs, encoder_hidden, target if forced else None)
        loss = criterion(outputs.view(-1, outputs.size(-1)), target.view(-1))
        loss.backward()
        encoder_optimizer.step()
        decoder_optimizer.step()
        return loss

    step, losses = tools.compiled(step), []
    for _ in range(25):
        digits = torch.from_numpy(rng.integers(0, 10, (16, length)))
        target = torch.cat([digits.flip(1), torch.full((16, 1), EOS)], dim=1)
        losses.append(step(digits, target, random.random() < 0.7).item())
    with torch.no_grad():
        outputs, hidden = encoder(digits)
        decoded, _, attention = decoder(outputs, hidden)
        _, words = decoded.topk(1)
        assert tuple(words.squeeze().shape) == (16, length + 1)
        assert torch.allclose(attention.sum(-1), torch.ones_like(attention[..., 0]))
    return {"losses": losses}
