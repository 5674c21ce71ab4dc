"""Simulated users in, the gain and loss of a learning prior on them out.

In bits per word: the surprisal of the words inside the follow-up window, for the shipped prior and
for the one that has learned. A user with favourites gives `TAUGHT` commands; then the next `TESTED`
are predicted. Then a user with the opposite preferences takes over: the learned preferences must
not do harm for long.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...edge.memory.grammar import Grammar
from ...edge.memory.habits import User
from ...edge.memory.prior import Learner, Prior, gap_class
from ..cache import Progress

TAUGHT, TESTED = 200, 100
"""Number of commands to learn from, and to measure on."""

SPAN = 10
"""Commands between two points of the curve after the other user has taken over."""

_USERS = 100
_OPPOSITE = 60  # commands of the second user


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning:
    """Effect of learning, in bits per word; each array has one entry per user."""

    shipped: NDArray[np.float64]
    """(users,) for the shipped prior, on the commands after those learned from."""
    learned: NDArray[np.float64]
    """(users,) for the prior that has learned, on the same."""
    harm: NDArray[np.float64]
    """(users, spans) learned less shipped, for every `SPAN` commands of the second user."""

    def to_dict(self) -> dict[str, Any]:
        """Return means and their 95 % intervals as plain JSON types."""
        return {
            "users": len(self.shipped),
            "commands_taught": TAUGHT,
            "commands_tested": TESTED,
            "bits_per_word_shipped": _mean(self.shipped),
            "bits_per_word_learned": _mean(self.learned),
            "gain_bits": _mean(self.shipped - self.learned),
            "opposite_user": [
                {"commands": (index + 1) * SPAN, "harm_bits": _mean(column)}
                for index, column in enumerate(self.harm.T)
            ],
        }


def learning(
    grammar: Grammar,
    prior: Prior,
    *,
    users: int = _USERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Learning:
    """Measure the effect of learning on users that no prior was trained on.

    Parameters
    ----------
    grammar
        Their grammar.
    prior
        The shipped prior.
    users, seed
        Number of users, and seed of all random draws.
    progress
        Called with (users done, users).
    """
    shipped, learned, harm = [], [], []
    for number in range(users):
        rng = np.random.default_rng((seed, 9, number))
        user = User(grammar, rng)
        learner = Learner(prior)
        _use(learner, user, rng, TAUGHT)
        bits = _use(learner, user, rng, TESTED)
        shipped.append(bits[:, 0].mean())
        learned.append(bits[:, 1].mean())
        opposite = user.opposite()
        spans = [_use(learner, opposite, rng, SPAN) for _ in range(_OPPOSITE // SPAN)]
        harm.append([float((bits[:, 1] - bits[:, 0]).mean()) for bits in spans])
        if progress is not None:
            progress(number + 1, users)
    return Learning(shipped=np.array(shipped), learned=np.array(learned), harm=np.array(harm))


def _use(
    learner: Learner, user: User, rng: np.random.Generator, commands: int
) -> NDArray[np.float64]:
    """Simulate a user; return the bits of each word, (words, 2): shipped, with learning."""
    bits = []
    for said in user.session(rng, commands):
        word, gap_s, pending = said.counted
        if gap_s >= user.grammar.window_s:
            learner.reset()
        else:
            gap, index = gap_class(gap_s), learner.words.index(word)
            base, own = learner.base.expect()[gap, index], learner.expect()[gap, index]
            bits.append((-np.log2(base), -np.log2(own)))
        lesson = learner.lesson(word, gap_s)
        learner.hear(word, gap_s, pending)
        learner.learn(lesson)
    return np.array(bits).reshape(-1, 2)


def _mean(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean over users and its 95 % interval, by the normal distribution."""
    mean = float(values.mean())
    spread = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return {"mean": mean, "95_low": mean - spread, "95_high": mean + spread}
