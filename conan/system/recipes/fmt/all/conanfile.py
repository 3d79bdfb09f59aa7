"""Stands in for fmt: the library that Debian's libfmt-dev has installed."""

from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemFmt(ConanFile):
    name = "fmt"  # config.yml has the version
    package_type = "shared-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"header_only": [True, False]}  # as the real one; ice refuses True
    default_options = {"header_only": False}

    def package_id(self):
        self.info.clear()

    def system_requirements(self):
        Apt(self).install(["libfmt-dev"])

    def package_info(self):
        self.cpp_info.set_property("system_package_version", "9.1.0")  # for find_package
        self.cpp_info.set_property("cmake_file_name", "fmt")
        self.cpp_info.set_property("cmake_target_name", "fmt::fmt")
        self.cpp_info.includedirs = []  # the compiler looks there by itself
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.system_libs = ["fmt", "m"]
