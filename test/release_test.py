"""tools/release.py refuses a tree that is not ready and says why, and its SBOM is complete."""
import datetime
import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import release  # noqa: E402

HEADER = "#define ICE_VERSION_MAJOR 1\n#define ICE_VERSION_MINOR 2\n#define ICE_VERSION_PATCH 3\n"
CHANGES = ("# Changelog\n\n## [1.2.3] - 2026-01-31\n\n### Added\n\n- All.\n\n"
           "## [1.2.2] - 2026-01-01\n")


def git(root, *words):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=root,
                   check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "include/ice").mkdir(parents=True)
    (tmp_path / "include/ice/version.hpp").write_text(HEADER)
    (tmp_path / "vcpkg/ports/ice-cpp-ice").mkdir(parents=True)
    (tmp_path / "vcpkg/ports/ice-cpp-ice/vcpkg.json").write_text('{"version": "1.2.3"}')
    for name in ("config.yml", "all/conandata.yml"):
        recipe = tmp_path / "conan/recipes/ice" / name
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text('versions:\n  "1.2.3":\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGES)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def commit(tree, path, text):
    (tree / path).write_text(text)
    git(tree, "commit", "-qam", "a change")


def test_a_tree_that_is_ready_has_no_fault(tree):
    assert not list(release.faults(tree, "1.2.3"))


def test_uncommitted_changes_are_a_fault(tree):
    (tree / "new").write_text("")
    assert list(release.faults(tree, "1.2.3")) == ["there are changes that are not committed"]


def test_another_version_is_a_fault_in_every_file(tree):
    found = list(release.faults(tree, "1.2.4"))
    assert found[:2] == ["version.hpp says 1.2.3", "vcpkg/ports/ice-cpp-ice/vcpkg.json says 1.2.3"]
    assert found[2:4] == ["conan/recipes/ice/config.yml has no 1.2.4",
                          "conan/recipes/ice/all/conandata.yml has no 1.2.4"]
    assert len(found) == 5 and "1.2.4" in found[4]


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3-rc1"])
def test_an_invalid_version_is_a_fault(tree, version):
    assert list(release.faults(tree, version)) == [f"{version} is no version: X.Y.Z"]


@pytest.mark.parametrize("changes", [
    CHANGES.replace("2026-01-31", "unreleased"), CHANGES.replace("### Added\n\n- All.\n", "")])
def test_a_changelog_without_date_or_text_is_a_fault(tree, changes):
    commit(tree, "CHANGELOG.md", changes)
    assert [fault[:12] for fault in release.faults(tree, "1.2.3")] == ["CHANGELOG.md"]


def test_an_existing_tag_is_a_fault(tree):
    git(tree, "tag", "v1.2.3")
    assert list(release.faults(tree, "1.2.3")) == ["the tag v1.2.3 is there already"]


def test_the_sbom_names_each_artefact_by_its_checksum_and_each_dependency(tmp_path):
    artefact = tmp_path / "ice-1.2.3.tar.gz"
    artefact.write_bytes(b"abc")
    made = datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)
    bill = release.sbom("1.2.3", [artefact], made, {"asio": "1", "fmt": "2"})
    ours, asio, fmt = bill["packages"]
    assert ours["checksums"][0]["checksumValue"].startswith("ba7816bf")  # FIPS 180-2's example
    assert [asio["versionInfo"], fmt["versionInfo"]] == ["1", "2"]
    assert {one["relatedSpdxElement"] for one in bill["relationships"]} == {
        package["SPDXID"] for package in bill["packages"]}
    assert json.loads(json.dumps(bill))["creationInfo"]["created"] == "2026-01-31T00:00:00Z"
