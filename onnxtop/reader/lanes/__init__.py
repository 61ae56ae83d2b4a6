"""Lanes: which neuron sits where in every tensor of a model.

Vertices are neurons. Operations without weights move, copy, merge and mix neurons; those with weights make
new ones. Every activation carries an integer array of vertex ids with the tensor's rank: full size along the
axes that tell neurons apart, size 1 along those that share them (batch, positions, time), as if they had
stride 0. One way through the model (`walk`) is gone twice, with the same rule for each operation (`tables`).
First `survey` measures every value, and sends the indices of the inputs' axes to the first weights, which
unite what they read alike; then `neurons` carries the lanes. What no rule understands becomes a hub, one
vertex between all that enters and all that leaves: conservative, never silent.
"""
