# Installs nothing: find_package then finds the fmt that Debian has installed.
set(VCPKG_POLICY_EMPTY_PACKAGE enabled)
