// arrival: has what a socket sent reached the other end's kernel?
#pragma once

namespace torture {

// Both ends are of this process.
bool all_arrived(int fd) noexcept;

}  // namespace torture
