"""Lanes: which neuron sits where in every tensor of a model.

Vertices are neurons. Operations without weights move, copy, merge and mix neurons; those with weights make
new ones. Every activation carries an integer array of vertex ids with the tensor's rank: full size along the
axes that tell neurons apart, size 1 along those that share them (batch, positions, time). The walk is made in
three passes: `sizes` measures every tensor, `uniting` finds the axes of the inputs that share neurons, and
`walk` carries the lanes, with one rule for each operation or family (`tables`). What no rule understands
becomes a hub, one vertex between all that enters and all that leaves: conservative, never silent.
"""
