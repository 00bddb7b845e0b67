"""Q learning: a replay memory, a target network that follows, gathered values."""

import math
from collections import deque, namedtuple

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
import intaglio.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))
GAMMA, TAU, BATCH_SIZE = 0.9, 0.05, 16


class Corridor:
    """A row of cells; the last one is the goal."""

    size = 6

    def reset(self):
        self.at = 0
        return self.seen()

    def seen(self):
        return torch.eye(self.size, dtype=torch.float64)[self.at]

    def step(self, action):
        self.at = max(0, self.at + (1 if action else -1))
        done = self.at == self.size - 1
        return self.seen(), 1.0 if done else -0.01, done


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super(DQN, self).__init__()
        self.layer1 = nn.Linear(n_observations, 24)
        self.layer2 = nn.Linear(24, 24)
        self.layer3 = nn.Linear(24, n_actions)

    def forward(self, x):
        x = F.relu(self.layer1(x))
        x = F.relu(self.layer2(x))
        return self.layer3(x)


def main(tools):
    env, rng, memory = Corridor(), np.random.default_rng(11), deque([], maxlen=500)
    policy_net = tools.start(DQN(6, 2))
    target_net = DQN(6, 2).double()
    target_net.load_state_dict(policy_net.state_dict())
    target_net.eval()
    optimizer = optim.AdamW(policy_net.parameters(), lr=5e-3, amsgrad=True)
    losses, steps_done = [], 0

    def learn(state_batch, action_batch, next_states, mask, reward_batch):
        state_action_values = policy_net(state_batch).gather(1, action_batch)
        with torch.no_grad():
            next_state_values = target_net(next_states).max(1).values
            next_state_values = torch.where(mask, next_state_values, 0.0)
        expected = (next_state_values * GAMMA) + reward_batch
        loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(target_net.parameters(), policy_net.parameters()):
                p.lerp_(q, TAU)
        return loss

    learn = tools.compiled(learn)
    for _ in range(8):
        state = env.reset()
        for _t in range(20):
            threshold = 0.1 + 0.8 * math.exp(-steps_done / 60)
            steps_done += 1
            if rng.random() > threshold:
                with torch.no_grad():
                    action = policy_net(state.unsqueeze(0)).max(1)[1].view(1, 1)
            else:
                action = torch.tensor([[rng.integers(2)]], dtype=torch.long)
            following, reward, done = env.step(action.item())
            memory.append(Transition(state, action, None if done else following,
                                     torch.tensor([reward], dtype=torch.float64)))  # fmt: skip
            state = following
            if len(memory) >= BATCH_SIZE:
                chosen = [memory[k] for k in rng.integers(0, len(memory), BATCH_SIZE)]
                batch = Transition(*zip(*chosen))
                mask = torch.tensor([s is not None for s in batch.next_state], dtype=torch.bool)
                nexts = torch.stack([s if s is not None else torch.zeros(6, dtype=torch.float64)
                                     for s in batch.next_state])  # fmt: skip
                loss = learn(torch.stack(batch.state), torch.cat(batch.action), nexts, mask,
                             torch.cat(batch.reward))  # fmt: skip
                losses.append(loss.item())
            if done:
                break
    weights = target_net.state_dict()
    source = policy_net.state_dict()
    for key in source:
        weights[key] = source[key] * TAU + weights[key] * (1 - TAU)
    target_net.load_state_dict(weights)
    losses.append(sum(p.abs().sum().item() for p in target_net.parameters()))
    return {"losses": losses}
