"""Other systems, one adapter each: a `NAME`, and `predict(fold, seed)` that sees the training genes only.

Every system runs in a process of its own, which reads the folds from files: `_exchange.py` writes them, `_child.py` is
the process, `_environments.py` makes the environments, `_score.py` compares the answer with the truth. Not part of the
package.
"""
