"""The stopping rule inside of training frameworks: a module a framework, which alone imports it.

Each has ``weights_of``, which reads the layers of a network as it is held in memory, and, where the framework
calls back, a callback around an `onnxtop.NeuralPersistenceStopping`. None of the frameworks is installed with
onnxtop; without its framework a module cannot be imported, and says so.
"""
