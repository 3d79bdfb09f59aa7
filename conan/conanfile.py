"""The Conan recipe of ice for the checkout it lies in: the index's recipe, with these sources and
ranges of versions. `./run package conan` tries both."""

import importlib.util
import os
import re

from conan.tools.cmake import cmake_layout
from conan.tools.files import copy, load

INDEX = "recipes/ice/all/conanfile.py"
spec = importlib.util.spec_from_file_location(
    "ice_of_an_index", os.path.join(os.path.dirname(__file__), INDEX))
index = importlib.util.module_from_spec(spec)
spec.loader.exec_module(index)

required_conan_version = index.required_conan_version


class IceOfThisCheckout(index.IceConan):
    exports = INDEX
    test_package_folder = "recipes/ice/all/test_package"

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "..", "include", "ice", "version.hpp"))
        self.version = self.version or ".".join(
            re.search(rf"#define ICE_VERSION_{part} (\d+)", header).group(1)
            for part in ("MAJOR", "MINOR", "PATCH"))

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "lib/*"):
            copy(self, pattern, src=root, dst=self.export_sources_folder)

    def layout(self):
        self.folders.root = ".."
        cmake_layout(self)

    def requirements(self):
        # The newest; validate() tells what is wrong with older ones.
        self.requires("asio/[>=1.28.2 <2]", transitive_headers=True)
        self.requires("fmt/[>=9.1.0 <13]", transitive_headers=True, transitive_libs=True)

    def build_requirements(self):
        pass  # the CMake that is here

    def source(self):
        pass  # they were exported
