// standard_streams: stdin, stdout and stderr as a program finds them: closed, full, or not read.
// For main functions; ice itself prints only its log.
#pragma once

#include <ice/detail/export.hpp>
#include <string_view>

namespace ice {

// Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed. Without this the next
// file or socket that the program opens gets such a number, and what is printed goes into it. Call
// it before anything is opened; a server with a loop of its own does so. Where there is no
// /dev/null the descriptors stay closed.
ICE_API void open_standard_streams() noexcept;

// Writes the text and a line end to stderr. It ignores a failure: a program that is about to end
// with an exit code of its own must not end by an exception instead.
ICE_API void print_error(std::string_view text) noexcept;

// Writes what is left in stdout's buffer (fflush(3)). Throws std::runtime_error if that, or
// anything printed before, could not be written: "cannot write to stdout: No space left on device".
// The text has no reason if an earlier call met the error.
ICE_API void flush_stdout();

}  // namespace ice
