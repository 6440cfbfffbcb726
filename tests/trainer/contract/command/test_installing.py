from trainer.contract.command import installing


def test_the_package_is_named_outside_a_checkout_only(tmp_path, monkeypatch):
    here = "pip install -c constraints.txt '.[train]' (in the project's folder)"
    assert installing.install("train") == here
    monkeypatch.setattr(installing, "ROOT", tmp_path)
    assert installing.install("train,datagen") == "pip install 'sft-launch[train,datagen]'"
