"""What ``orthoforge doctor`` finds: on this machine, and on those that lack something."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from orthoforge import doctor
from orthoforge.cli import main
from orthoforge.doctor import EXTRAS, Finding, diagnosis
from orthoforge.errors import ConfigError
from orthoforge.geo import proj_data

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def words_of(findings):
    return {finding.subject: finding.words for finding in findings}


def test_a_sound_machine(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_torchvision", list)  # not ours to mend
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[-1] == "No faults found."
    told = {line[: lines[0].index(version("orthoforge"))].strip(): line for line in lines[:-2]}
    expected = {"orthoforge", "Python", "torch", "rasterio", "GDAL", "PROJ", "processor", "bf16", "memory", "disk", "weights"}
    assert expected <= set(told)
    assert version("torch") in told["torch"] and "orthoforge-s" in told["weights"] and "GB available" in told["memory"]


def test_faults_are_marked_counted_and_exit_1(capsys, monkeypatch):
    findings = [Finding("disk", "3 GB free"), Finding("torchvision", "is broken. Take it away.", is_fault=True)]
    assert diagnosis(findings).splitlines() == [
        "disk         3 GB free", "torchvision  FAULT: is broken. Take it away.", "", "1 fault found.",
    ]  # fmt: skip
    monkeypatch.setattr(doctor, "diagnose", lambda: findings)
    assert main(["doctor"]) == 1


def test_a_database_of_proj_that_does_not_fit(monkeypatch):
    def unfit():
        raise ConfigError("PROJ finds no database that fits. Install rasterio again.")

    monkeypatch.setattr(proj_data, "use_a_fitting_database", unfit)
    assert doctor._proj() == [Finding("PROJ", "PROJ finds no database that fits. Install rasterio again.", is_fault=True)]


def test_a_database_of_another_proj_that_was_left_aside_is_named(monkeypatch):
    monkeypatch.setenv("PROJ_DATA", "/opt/qgis/proj")
    monkeypatch.setattr(proj_data, "use_a_fitting_database", lambda: monkeypatch.delenv("PROJ_DATA"))
    found = {finding.subject: finding for finding in doctor._proj()}["PROJ"]
    assert not found.is_fault and "not that of PROJ_DATA=/opt/qgis/proj, which does not fit" in found.words


def test_a_torchvision_that_does_not_fit_is_found_without_importing_it_here(tmp_path, monkeypatch):
    (tmp_path / "torchvision").mkdir()
    module = tmp_path / "torchvision" / "__init__.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module.write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (found,) = doctor._torchvision()
    assert found.is_fault and "nms does not exist" in found.words and "pip uninstall torchvision" in found.words
    module.write_text("__version__ = '0.28.0'")
    (found,) = doctor._torchvision()
    assert not found.is_fault and found.words.startswith("0.28.0")


def test_each_extra_is_told_with_its_purpose_and_how_to_get_it(monkeypatch):
    assert set(EXTRAS) == set(PROJECT["optional-dependencies"]) - {"dev", "docs"}
    monkeypatch.setattr(doctor, "version", lacking("c2pa-python"))
    words = words_of(doctor._extras())
    assert words["extra sign"] == (
        "not installed: Content Credentials (generate --sign); without c2pa-python: pip install 'orthoforge[sign]'"
    )
    assert words["extra parquet"] == "installed: footprints in GeoParquet"


def test_a_package_that_is_needed_and_missing_is_a_fault(monkeypatch):
    assert doctor._needed() == []
    monkeypatch.setattr(doctor, "version", lacking("scipy"))
    assert doctor._needed() == [Finding("scipy", "is not installed. Run: pip install 'scipy>=1.13'", is_fault=True)]


def lacking(name):
    def version(package):
        if package == name:
            raise PackageNotFoundError(package)
        return "1.0"

    return version


def test_gpus_are_told_with_their_memory_and_those_that_cannot_compute_are_faults(monkeypatch):
    def memory(index):
        if index == 1:
            raise RuntimeError("CUDA error: no kernel image is available")
        return 90 * 10**9, 141 * 10**9

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    first, second = doctor._gpus()[:2]
    assert first == Finding("GPU cuda:0", "NVIDIA H200, 141.0 GB of memory, 90.0 GB free")
    assert second.is_fault and "no kernel image" in second.words


def test_a_driver_that_torch_cannot_use_is_a_fault_unless_torch_is_for_processors(tmp_path, monkeypatch):
    driver = tmp_path / "version"
    driver.touch()
    monkeypatch.setattr(doctor, "_NVIDIA_DRIVER", driver)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for cuda, is_fault in (("12.8", True), (None, False)):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        (found,) = doctor._gpus()
        assert found.is_fault == is_fault and "driver" in found.words


def test_weights_that_are_missing_are_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "bundled_folder", lambda name: tmp_path)
    (found,) = doctor._weights()
    assert found.is_fault and "orthoforge-s" in found.words
