"""The contract that every layer and every model of the project keeps.

    from contract import run_contract

    def test_contract(tmp_path):
        run_contract(ShapeIndexedCrop, [features, landmarks], {"size": 3}, tmp_path)

See ``run_contract`` for what is checked.
"""

from contract.harness import run_contract

__all__ = ["run_contract"]
