// compare: whether one measurement differs from another by more than the noise.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace ice::bench {

// The chance (two-sided Mann-Whitney U test) of two samples that lie this far apart if they came
// from the same source. 1 if either is empty.
double chance_of_same(const std::vector<double>& a, const std::vector<double>& b);

// Prints medians, spreads and a verdict for each figure of two files of --json.
// Throws std::runtime_error for a file that is none.
void compare(std::FILE* to, const std::string& file_a, const std::string& file_b);

}  // namespace ice::bench
