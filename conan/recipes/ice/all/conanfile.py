import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, get, rmdir
from conan.tools.scm import Version

required_conan_version = ">=2.1"


class IceConan(ConanFile):
    name = "ice"
    description = "A C++20 toolkit for network servers"
    license = "BSL-1.0"
    url = "https://github.com/conan-io/conan-center-index"
    homepage = "https://github.com/ice-cpp/ice"
    topics = ("networking", "asio", "coroutines", "tcp", "server")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}
    implements = ["auto_shared_fpic"]

    def layout(self):
        cmake_layout(self, src_folder="src")

    def requirements(self):
        self.requires("asio/1.38.2", transitive_headers=True)
        self.requires("fmt/12.2.0", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration(f"{self.ref} is for Linux")
        compiler = str(self.settings.compiler)
        least = {"gcc": "12", "clang": "16"}.get(compiler)
        if least and Version(self.settings.compiler.version) < least:
            raise ConanInvalidConfiguration(
                f"{self.ref} needs {compiler} {least} or newer: the coroutines of older ones fail")
        if self.dependencies["fmt"].options.get_safe("header_only"):
            raise ConanInvalidConfiguration(
                f"{self.ref} links the compiled fmt: -o 'fmt/*:header_only=False'")
        asio = self.dependencies["asio"].ref.version  # the same as in FindAsio.cmake
        if asio != "system" and Version("1.22.1") < asio < Version("1.28.2"):
            raise ConanInvalidConfiguration(
                f"Asio {asio} frees memory that a cancelled co_spawn still uses "
                "(chriskohlhoff/asio#1332, versions 1.22.2 to 1.28.1). "
                "Use Asio 1.22.1, or 1.28.2 and newer.")

    def build_requirements(self):
        self.tool_requires("cmake/[>=3.23]")

    def source(self):
        get(self, **self.conan_data["sources"][self.version], strip_root=True)

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
        self.cpp_info.set_property("cmake_target_name", "ice::all")  # ice::ice has no testing

        ice = self.cpp_info.components["ice"]
        ice.set_property("cmake_target_name", "ice::ice")
        ice.set_property("pkg_config_name", "ice-cpp")
        ice.libs = ["ice"]
        ice.defines = ["ASIO_HAS_STD_ALIGNED_ALLOC=1"]  # as in CMakeLists.txt
        ice.system_libs = ["pthread"]
        ice.requires = ["asio::asio", "fmt::fmt"]

        testing = self.cpp_info.components["testing"]
        testing.set_property("cmake_target_name", "ice::testing")
        testing.set_property("pkg_config_name", "ice-cpp-testing")
        testing.libs = ["ice-testing"]
        testing.requires = ["ice"]
