"""Stands in for asio: the headers that Debian's libasio-dev has put into /usr/include."""

from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemAsio(ConanFile):
    name = "asio"  # config.yml has the version
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"

    def package_id(self):
        self.info.clear()

    def system_requirements(self):
        Apt(self).install(["libasio-dev"])

    def package_info(self):
        self.cpp_info.set_property("system_package_version", "1.22.1")  # for find_package
        self.cpp_info.includedirs = []  # the compiler looks there by itself
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.defines = ["ASIO_STANDALONE"]
        self.cpp_info.system_libs = ["pthread"]
