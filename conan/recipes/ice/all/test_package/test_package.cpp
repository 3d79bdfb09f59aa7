// Packs a message as telnet does, and reads an address: headers, and code of the library.
#include <ice/ice.hpp>

#include <cstdio>
#include <string>

int main() {
    std::string bytes;
    ice::telnet().packet("hello", bytes);
    const ice::address where("[::1]:9999");
    std::printf("ice %s: %s to %s\n", ice::version, bytes.substr(0, 5).c_str(),
                where.text().c_str());
}
