"""A flow in a latent: encoding once, the same training and sampling, one file that draws images."""

import shutil

import numpy as np
import pytest
import torch
from cases import fails
from runs import CODER, FLOW, assert_equal, losses, run, states

from thaw.autoencoder import statistics, weights_hash
from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.experiment.config import Config, make_config
from thaw.play import open_model
from thaw.sampling import final
from thaw.scoring import classify, score_model
from thaw.scoring.samples import weights_digest
from thaw.store.inputs import encode_dataset, latents_path, load_data, load_latents, open_coder
from thaw.store.weights import coder_state, load_coder, load_model, release_path, save_release
from thaw.training.optimisers import learning_rate


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a trained autoencoder and a flow in its latent, both tiny."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(make_config(CODER), folder / "coder")
        run(flow(folder), folder / "flow")
    return folder


def flow(folder, **values) -> Config:
    return make_config(FLOW | {"autoencoder": str(folder / "coder")} | values)


@pytest.fixture(autouse=True)
def in_the_folder(work, monkeypatch):
    monkeypatch.chdir(work)


def test_latents_are_standardised_by_the_training_set(work):
    config = flow(work)
    train, test = load_data(config), load_data(config, "test")
    assert train.shape == test.shape == (1, 7, 7) and len(train) == 96 and train.classes == 10
    varied = train.coder.std > 1.01 * train.coder.std.min()  # others were not blown up
    torch.testing.assert_close(train.images.mean(dim=0), torch.zeros(1, 7, 7), atol=1e-4, rtol=0)
    torch.testing.assert_close(train.images.std(dim=0)[varied], torch.ones(int(varied.sum())), atol=1e-3, rtol=0)
    assert torch.equal(test.coder.mean, train.coder.mean)
    x = load_data(make_config({**CODER}), "test").pixels(slice(3))
    torch.testing.assert_close(test.coder.encode(x), test.images[:3])
    assert test.coder.decode(test.images[:3]).shape == (3, 1, 28, 28)


def test_a_number_that_hardly_varies_is_not_blown_up():
    latents = torch.randn(500, 1, 2, 2) * torch.tensor([[[1.0, 1.0], [1.0, 1e-6]]])
    assert statistics(latents)[1].min() > 0.03


def test_a_data_set_is_encoded_once_and_again_for_other_weights(work, digits, tmp_path, monkeypatch):
    network = load_model(work / "coder").network
    first = encode_dataset(network, digits, tmp_path)
    monkeypatch.setattr(type(network), "encode", None)  # must not be called any more
    assert torch.equal(encode_dataset(network, digits, tmp_path), first)
    monkeypatch.undo()
    path = latents_path(network, digits, tmp_path)
    assert [path] == list(tmp_path.iterdir()) and path.name.startswith("digits_train_")
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(encode_dataset(network, digits, tmp_path), first)  # damaged: encoded again
    with torch.no_grad():
        network.encoder[0].bias += 1
    assert not torch.equal(encode_dataset(network, digits, tmp_path), first) and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("interrupted", [0, 1])
def test_an_interrupted_flow_ends_as_an_uninterrupted_one_to_the_bit(work, tmp_path, interrupted):
    run(flow(work), tmp_path / "run", until=interrupted)
    torch.manual_seed(987)
    run(flow(work), tmp_path / "run")
    assert_equal(states(tmp_path / "run"), states(work / "flow"))
    assert losses(tmp_path / "run") == losses(work / "flow")


def test_a_run_keeps_to_its_autoencoder(work, tmp_path):
    run(make_config(CODER | {"seed": 1}), tmp_path / "coder")
    run(flow(tmp_path), tmp_path / "run", until=1)
    shutil.rmtree(tmp_path / "coder")
    shutil.copytree(work / "coder", tmp_path / "coder", symlinks=True)
    hashed = weights_hash(load_model(work / "coder").network.state_dict())[:12]
    with pytest.raises(ThawError, match=f"in the latent of an autoencoder with the hash .*has {hashed}; choose"):
        run(flow(tmp_path), tmp_path / "run")


def test_samples_are_decoded_latents_that_were_never_clipped(work):
    model = load_model(work / "flow")
    y = model.labels(4)
    assert model.shape == (1, 28, 28) and model.process.shape == (1, 7, 7) and model.conditional
    latents = final(model.trajectory(y, decoded=False))
    assert latents.shape == (4, 1, 7, 7)
    images = model.sample(y)
    torch.testing.assert_close(images, model.coder.decode(latents))
    assert images.shape == (4, 1, 28, 28) and images.abs().max() <= 1
    steps = list(model.trajectory(y))
    assert all(step.x_t.shape == step.x0_hat.shape == (4, 1, 28, 28) for step in steps)
    assert torch.equal(steps[-1].x_t, images)
    far = 3 * torch.ones(1, 1, 7, 7)
    assert torch.equal(model.process.clip(far), far)
    assert model.interpolate(model.labels(3, 2), torch.linspace(0, 1, 3)).shape == (3, 1, 28, 28)
    assert final(model.blend((1, 7), 3)).shape == (3, 1, 28, 28)


def test_one_file_holds_flow_and_decoder(work, tmp_path, monkeypatch):
    model = load_model(work / "flow")
    path = save_release(tmp_path / "pretrained", model, model.network.state_dict())
    assert path.name == "latent_digits_2_flow.pth"
    monkeypatch.chdir(tmp_path)  # where there is no autoencoder
    released = open_model("flow", data="digits")
    y = model.labels(5)
    assert (released.sample(y) - model.sample(y)).abs().max() < 0.1  # weights in fp16
    assert release_path("flow", data="digits").name == path.name
    assert weights_digest(released) == released.info["sha256"]
    content = torch.load(path, weights_only=True)
    del content["coder"]["mean"]
    torch.save(content, tmp_path / "broken.pth")
    with pytest.raises(ThawError, match="lacks a whole autoencoder.*'mean'"):
        load_model(tmp_path / "broken.pth")


def test_a_coder_survives_being_stored(work):
    coder = open_coder(flow(work))
    again = load_coder(coder_state(coder), "here")
    x = torch.rand(2, 1, 28, 28) * 2 - 1
    assert torch.equal(again.encode(x), coder.encode(x)) and again.digest == coder.digest


def test_a_flow_is_scored_and_classifies_as_any_other_model(work, judge):
    model = load_model(work / "flow")
    assert score_model(model, judge, 256)["fid"].value > 0
    latents = load_latents(model.config, "test", model.coder).subset(3, 0)
    for route in ("ode", "elbo"):
        found = classify(model, latents, route=route, steps=2, draws=2, probes=2)
        assert found.posterior.shape == (3, 10) and found.dimensions == 49


def test_what_a_latent_cannot_do_is_refused(work, tmp_path):
    model = load_model(work / "flow")
    picture = torch.zeros(1, 1, 28, 28)
    for use in (lambda: model.restore(picture, 3), lambda: model.inpaint(picture, picture > 0, torch.tensor([1]))):
        with pytest.raises(ThawError, match="only models of pixels restore or fill in"):
            use()
    with pytest.raises(ThawError, match="no autoencoder nowhere; train it first"):
        load_data(flow(work, autoencoder="nowhere"))
    with pytest.raises(ThawError, match="is no autoencoder"):
        load_data(flow(work, autoencoder=str(work / "flow")))
    for values, named in (
        ({"study": "latent"}, "autoencoder .*belong together"),
        ({"autoencoder": "x"}, "belong together"),
        ({"study": "autoencoder"}, "belong together"),
        ({"study": "latent", "autoencoder": "x", "degradation": "row"}, "scale alone"),
    ):
        with pytest.raises(ThawError, match=named):
            make_config(values)


def test_milestones_lower_the_learning_rate():
    config = make_config({"lr": 1.0, "lr_decay": "milestones", "milestones": (2, 3), "gamma": 0.1, "epochs": 4})
    rates = [learning_rate(config, step, 400) for step in (50, 199, 200, 299, 300, 399)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_verbs_of_a_latent(work, tmp_path, capsys):
    def shell(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    assert "1500 train latents (1, 7, 7)" in shell("encode-dataset", work / "coder")
    out = tmp_path / "numbers.json"
    said = shell("test", work / "flow", "-n", 4, "--steps", 2, "--probes", 1, "--out", out)
    assert "accuracy" in said and "per dimension of the latent" in said and out.is_file()
    said = shell("test-reconstruction", work / "coder", "--height", 2, "--width", 5, "--out", tmp_path / "x.png")
    assert "squared error" in said and (tmp_path / "x.png").is_file()
    shell("sample", work / "flow", "-n", 2, "--out", tmp_path / "x.npz")
    assert np.load(tmp_path / "x.npz")["images"].shape == (2, 28, 28)
    assert "autoencoder_parameters" in shell("info", work / "flow")
    assert "is no autoencoder" in fails(capsys, "encode-dataset", str(work / "flow"))
    assert "-n must be between 1 and the 297 images" in fails(capsys, "test", str(work / "flow"), "-n", "298")
