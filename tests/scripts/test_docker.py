"""The Dockerfile, and what the scripts ask of docker."""

import os
import re
import subprocess

import pytest

from tests.scripts.clone import ROOT, checker


def test_dockerfile_passes_hadolint():
    result = subprocess.run([checker("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_image_is_not_root_and_takes_no_results_along():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", dockerfile, re.M)
    assert "--require-hashes" in dockerfile
    assert {"checkpoint", ".venv", ".git"} <= set((ROOT / ".dockerignore").read_text().split())


def test_the_lock_file_is_there_when_pip_reads_it():
    before, _, after = (ROOT / "Dockerfile").read_text().partition("RUN pip install")
    assert "\nCOPY requirements/lock.txt requirements/\n" in before
    assert after.splitlines()[0].endswith(" -r requirements/lock.txt")


def with_gpu(clone, runtimes='{"nvidia":{},"runc":{}}'):
    clone.tool("nvidia-smi", "#!/bin/sh\necho 'GPU 0: a stand-in'\n")
    clone.environment |= {"STUB_DOCKER_INFO": runtimes}


def test_docker_is_taken_where_it_and_the_gpu_are(clone):
    with_gpu(clone)
    status, _, calls = clone.run("train.sh", "--color_var", "0.03")
    build, run = calls
    assert status == 0
    assert build == "build -t learning-not-to-learn ."
    assert run.startswith("run --rm --init ")
    assert " --gpus all " in run
    assert f" --user {os.getuid()}:{os.getgid()} " in run
    assert f" -v {clone.root}/checkpoint:/app/checkpoint " in run
    assert run.endswith(" learning-not-to-learn bash train.sh --color_var 0.03")
    assert (clone.root / "checkpoint").is_dir()


def test_docker_mounts_the_paths_that_flags_name(clone, tmp_path):
    with_gpu(clone)
    (tmp_path / "data").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "options.json").touch()
    flags = ("--data_dir", "data", "--save_dir=out", "--checkpoint", "missing.pth", "--from=run/options.json")
    run = clone.run("train.sh", *flags, cwd=tmp_path)[2][1]
    assert f" -v {tmp_path}/data:{tmp_path}/data:ro " in run
    assert f" -v {tmp_path}/out:{tmp_path}/out " in run
    assert f" -v {tmp_path}/run:{tmp_path}/run:ro " in run  # environment.json lies beside options.json
    assert "missing.pth:" not in run
    paths = f"--data_dir {tmp_path}/data --save_dir={tmp_path}/out --checkpoint {tmp_path}/missing.pth"
    assert run.endswith(f"{paths} --from={tmp_path}/run/options.json")


def test_docker_mounts_what_predictions_need(clone, tmp_path):
    with_gpu(clone)
    (tmp_path / "new").mkdir()
    (tmp_path / "w.pth").touch()
    run = clone.run("test.sh", "w.pth", "--images", "new", cwd=tmp_path)[2][1]
    assert f" -v {tmp_path}/w.pth:{tmp_path}/w.pth:ro " in run
    assert f" -v {tmp_path}/new:{tmp_path}/new:ro " in run
    assert f" -v {tmp_path}:{tmp_path} " in run
    assert run.endswith(f"bash test.sh {tmp_path}/w.pth --images {tmp_path}/new --out {tmp_path}/predictions.csv")
    (tmp_path / "there").mkdir()
    run = clone.run("test.sh", "-e", "run", "--images=new", "--out=there/p.csv", cwd=tmp_path)[2][1]
    assert f" -v {tmp_path}/there:{tmp_path}/there " in run
    assert run.endswith(f"--images={tmp_path}/new --out={tmp_path}/there/p.csv")
    run = clone.run("train.sh", "--init", "random", cwd=tmp_path)[2][1]
    assert "-v random" not in run


def test_rootless_docker_runs_as_its_root(clone):
    with_gpu(clone, '["name=rootless","nvidia"]')
    assert " --user 0:0 " in clone.run("test.sh")[2][1]


@pytest.mark.parametrize("runtimes", ['{"runc":{}}', "none"])
def test_docker_is_not_taken_without_the_nvidia_runtime(ready, runtimes):
    with_gpu(ready, runtimes)
    del ready.environment["LNTL_PYTHON"]
    assert all(call.split()[0] not in ("build", "run") for call in ready.run("train.sh")[2])


@pytest.mark.parametrize("environment", [{"LNTL_RUNTIME": "local"}, {"LNTL_PYTHON": "python3"}])
def test_docker_is_not_taken_against_the_users_word(clone, environment):
    with_gpu(clone)
    assert clone.run("train.sh", **environment)[2][-1].startswith("train.py ")


def test_docker_on_request_runs_without_a_gpu(clone):
    clone.environment["STUB_DOCKER_INFO"] = '{"runc":{}}'
    _, output, calls = clone.run("train.sh", LNTL_RUNTIME="docker")
    assert "on the CPU" in output
    assert "--gpus" not in calls[1]


@pytest.mark.slow
def test_a_docker_daemon_that_hangs_does_not_hang_the_script(clone):
    with_gpu(clone, "hangs")
    assert clone.run("train.sh")[0] == 0  # it gives up after a minute
