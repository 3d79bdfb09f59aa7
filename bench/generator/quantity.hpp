// quantity: numbers as a user writes them: 50, 10k, 1.5m; 200us, 5ms, 10s. It only reads them.
#pragma once

#include <string_view>

namespace ice::bench {

// A number, with k or m (million) behind it. Throws std::invalid_argument with a text that begins
// with `text` and says what would be right.
double count_of(std::string_view text);

// A time in ns, with one of the units us, ms, s, m (minutes) or h; `bare` allows seconds without a
// unit. Throws as count_of().
double time_of(std::string_view text, bool bare = false);

}  // namespace ice::bench
