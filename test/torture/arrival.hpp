// arrival: whether the bytes that a socket sent have reached the kernel of the other end.
#pragma once

namespace torture {

// Both ends are of this process.
bool all_arrived(int fd) noexcept;

}  // namespace torture
