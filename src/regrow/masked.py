"""A network whose weights are masked, in training: what an optimizer's step and an update do to all that hangs on them.

The built-in loop's dense engine and `sparsify` train with this one class.
"""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from regrow import schedule
from regrow.topology import Rewiring, Topology, gradients_of, optimizer_state


class MaskedOptimizer:
    """Wiring and optimizer of one network. Steps are counted from 1, and whoever counts them gives their number.

    Of a step it is: average_gradients, keep_gradients, mask_gradients; then the optimizer's own step; mask_weights
    where needed, and `update` if the step is one of `updates`.
    """

    def __init__(self, topology: Topology, optimizer: Optimizer, total_steps: int) -> None:
        self.topology, self.optimizer, self.total_steps = topology, optimizer, total_steps
        self.updates = frozenset(schedule.update_steps(topology.config, total_steps))
        self.gradients: dict[str, Tensor] = {}

    def average_gradients(self) -> None:
        """What momentum growth needs of every step's gradients, which are dense as the weights are (Eq. 10)."""
        self.topology.average_gradients(gradients_of(self.topology.weights))

    def keep_gradients(self, step: int) -> None:
        """What gradient growth needs of them at an update (Eq. 9)."""
        if step in self.updates:
            self.gradients = self.topology.dense_gradients(gradients_of(self.topology.weights))

    def mask_gradients(self) -> None:
        """Only connections that exist learn."""
        self.topology.mask_gradients(gradients_of(self.topology.weights))

    def update(self, step: int) -> dict[str, Rewiring]:
        """Prune and grow in every layer; what the optimizer remembers of grown connections begins at 0."""
        states = optimizer_state(self.optimizer, self.topology.weights)
        changes = self.topology.update(step, self.total_steps, self.gradients, states)
        self.gradients = {}
        return changes
