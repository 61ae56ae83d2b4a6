"""What carries an operand back to constants: the rule that tells weights from what only modulates.

An operand of a weighted operation is a weight if every way from it back through its carriers ends in
constants, whatever operations lie between. A carrier of a node is an input that spans its result: the data of
a movement or an activation function, of an elementwise operation every operand whose axes another does not
contain. So a scale of each row carries nothing, W + B A is carried by all three, and a position table that is
added to an activation of its own shape is no weight.

If every other input on the way is constant, or comes out the same whatever the sizes that the model leaves
open, the weight can be computed: `Constants` holds it as a derived constant. A table of matrices that the
model chooses from (experts) is one derived constant a matrix. All else is skipped: it changes with the input.

One step back is `spanning`, the whole way `chains`; `operands` asks which operands are weights, with what is
known of tables that are looked up in (`lookups`, `beginnings`) and of what bodies are handed (`handed_in`);
`deriving` asks which of them can be computed.
"""
