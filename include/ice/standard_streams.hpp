// standard_streams: stdin, stdout and stderr as a program finds them: closed, full, or not read.
// For programs; ice itself prints nothing but its log.
#pragma once

#include <ice/detail/export.hpp>
#include <string_view>

namespace ice {

// Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed. Otherwise the next file
// or socket of the program gets such a number, and what is printed goes into it. To be called
// before anything is opened; a server with a loop of its own does so. Where there is no /dev/null
// they stay closed.
ICE_API void open_standard_streams() noexcept;

// Writes the text and a line end to stderr. If stderr does not take it nothing happens: a program
// that is about to end with an exit code of its own must not end by an exception instead.
ICE_API void print_error(std::string_view text) noexcept;

// Writes what is left in stdout's buffer (C's). Throws std::runtime_error if that or anything
// before it could not be written: "cannot write to stdout: No space left on device",
// without the reason if it is not known any more.
ICE_API void flush_stdout();

}  // namespace ice
