"""The Conan recipe of ice, for the checkout it lies in. `./run package` tries it."""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir
from conan.tools.scm import Version

required_conan_version = ">=2.1"


class IceConan(ConanFile):
    name = "ice"
    description = "A C++20 toolkit for network servers"
    license = "BSL-1.0"
    topics = ("networking", "asio", "coroutines", "tcp", "server")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}
    implements = ["auto_shared_fpic"]

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

    def validate(self):
        check_min_cppstd(self, 20)
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration(f"{self.ref} is for Linux")
        asio = self.dependencies["asio"].ref.version  # the same as in FindAsio.cmake
        if asio != "system" and Version("1.22.1") < asio < Version("1.28.2"):
            raise ConanInvalidConfiguration(
                f"Asio {asio} frees memory that a cancelled co_spawn still uses "
                "(chriskohlhoff/asio#1332, versions 1.22.2 to 1.28.1). "
                "Use Asio 1.22.1, or 1.28.2 and newer.")

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False  # writes nothing into the source tree
        for part in ("TESTS", "APPS", "BENCH"):
            toolchain.cache_variables[f"ICE_BUILD_{part}"] = False
        toolchain.cache_variables["ICE_INSTALL"] = True
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", src=self.source_folder,
             dst=os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        for folder in ("lib/cmake", "lib/pkgconfig", "share"):  # Conan makes its own
            rmdir(self, os.path.join(self.package_folder, folder))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "ice")
        self.cpp_info.set_property("cmake_target_name", "ice::ice")
        self.cpp_info.set_property("pkg_config_name", "ice-cpp")
        self.cpp_info.libs = ["ice"]
        self.cpp_info.defines = ["ASIO_HAS_STD_ALIGNED_ALLOC=1"]  # as in CMakeLists.txt
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.requires = ["asio::asio", "fmt::fmt"]
