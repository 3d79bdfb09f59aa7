// Stream operators by which Boost.Test prints values of ice.
#pragma once

#include <ice/error.hpp>
#include <ostream>

namespace ice {
// For Boost.Test's messages.
inline std::ostream& operator<<(std::ostream& out, errc e) {
    return out << make_error_code(e).message();
}
}  // namespace ice
