"""Policy gradients on a cart with a pole: log probabilities kept in lists, returns, a baseline."""

from itertools import count

import numpy as np

import intaglio as torch
import intaglio.nn as nn
import intaglio.nn.functional as F
import intaglio.optim as optim


class Cart:
    """The cart and the pole, by Euler's method."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.state = self.rng.uniform(-0.05, 0.05, 4)
        return self.state.copy()

    def step(self, action):
        x, v, a, w = self.state
        force = 10.0 if action == 1 else -10.0
        push = (force + 0.05 * w**2 * np.sin(a)) / 1.1
        turn = (9.8 * np.sin(a) - np.cos(a) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(a) ** 2 / 1.1))
        move = push - 0.05 * turn * np.cos(a) / 1.1
        self.state = self.state + 0.02 * np.array([v, move, w, turn])
        done = bool(abs(self.state[0]) > 2.4 or abs(self.state[2]) > 0.2095)
        return self.state.copy(), 1.0, done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 16)
        self.action_head = nn.Linear(16, 2)
        self.value_head = nn.Linear(16, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


def main(tools):
    env, rng = Cart(9), np.random.default_rng(10)
    model = tools.start(Policy())
    optimizer = optim.Adam(model.parameters(), lr=3e-2)
    eps = np.finfo(np.float32).eps.item()

    def select_action(state):
        state = torch.from_numpy(state)
        probs, value = model(state)
        action = int(rng.random() < probs[1].item())
        model.saved_actions.append((torch.log(probs[action]), value))
        return action

    def finish_episode():
        R, returns, policy_losses, value_losses = 0, [], [], []
        for r in model.rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns, dtype=torch.float64)
        returns = (returns - returns.mean()) / (returns.std() + eps)
        for (log_prob, value), R in zip(model.saved_actions, returns):
            advantage = R - value.item()
            policy_losses.append(-log_prob * advantage)
            value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
        optimizer.zero_grad()
        loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
        loss.backward()
        optimizer.step()
        del model.rewards[:]
        del model.saved_actions[:]
        return loss.item()

    losses, running_reward = [], 10
    for i_episode in count(1):
        state, ep_reward = env.reset(), 0
        for _t in range(1, 60):
            action = select_action(state)
            state, reward, done = env.step(action)
            model.rewards.append(reward)
            ep_reward += reward
            if done:
                break
        running_reward = 0.05 * ep_reward + (1 - 0.05) * running_reward
        losses += [finish_episode(), ep_reward]
        if i_episode == 12:
            break
    return {"losses": losses}
