"""When two graphs are the same function: one table of hash-consed terms for both, equal terms are one number.

A term is an operation, its attributes and the numbers of its operands; a constant is known by its content.
Level 0 writes terms as the graphs stand: equal outputs are the same operations on the same constants. Level 1
writes them in one normal form (`canonical`, then the rules: one module an idea), so that what is equal in
real arithmetic meets in one term; every rule holds for all inputs of the shapes that were assumed. Level 2
drops what rounds (casts, quantisation, a folded BatchNormalization), and names it.
"""
