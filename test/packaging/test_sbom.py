# SPDX-License-Identifier: MIT
"""The bill of materials names what the programs load and contain, and is the same each time."""

import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("EPS_BIN", ROOT / "build/release/src/app")).parents[1]


def sbom():
    return subprocess.run([ROOT / "tools/sbom", BUILD], check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def text():
    if not (BUILD / "build.ninja").exists():
        pytest.skip("it asks ninja, and another program built this")
    return sbom()


def related(text, kind):
    document = json.loads(text)
    own, names = "SPDXRef-eps-conduits", {p["SPDXID"]: p["name"] for p in document["packages"]}
    pairs = [(r["spdxElementId"], r["relatedSpdxElement"]) for r in document["relationships"]
             if r["relationshipType"] == kind]
    return {names[other] for pair in pairs for other in pair if other != own and own in pair and other in names}


def test_loaded_libraries_are_in_it(text):
    loaded = related(text, "DYNAMIC_LINK")
    assert {"libc6", "libstdc++6"} <= loaded
    # readelf reads only the file, without a loader. Most Debian packages are named after the soname.
    needed = subprocess.run(["readelf", "--dynamic", BUILD / "src/app/eps-server"], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    others = {"libcrypto": "libssl", "libm": "libc"}
    sonames = [name.lower().replace("_", "-") for name in re.findall(r"NEEDED.*\[(lib[^.\]]+)\.so", needed)]
    assert len(sonames) > 5
    missing = [name for name in sonames if not any(p.startswith(others.get(name, name)) for p in loaded)]
    assert not missing, (missing, loaded)


def test_compiled_in_libraries_are_in_it(text):
    assert {"libboost1.81-dev", "nlohmann-json3-dev"} <= related(text, "BUILD_DEPENDENCY_OF")


def test_every_package_has_a_version_and_an_address(text):
    for package in json.loads(text)["packages"][1:]:
        assert package["versionInfo"]
        locator = package["externalRefs"][0]["referenceLocator"]
        assert re.fullmatch(r"pkg:deb/debian/[a-z0-9.%B-]+@\S+\?arch=\w+", locator)


def test_the_same_twice(text):
    assert sbom() == text
