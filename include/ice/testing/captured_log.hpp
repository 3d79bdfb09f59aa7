// captured_log: keeps the lines of a log, so that a test can look at them.
//     ice::server srv(sim.net());
//     const ice::testing::captured_log lines(srv.log());
//     ..
//     BOOST_TEST(lines.contains("logic threw"), lines.text());
#pragma once

#include <algorithm>
#include <cstddef>
#include <ice/log.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ice::testing {

// It replaces what log::to() has set, also after its end: the log never writes to stderr again
// unless log::to() says so. The log and this object may end in any order. Use it on the loop's
// thread, as the log.
class captured_log {
public:
    struct line {
        log_level level;
        std::string text;  // without date and line end
    };

    // Captures lines of that level and above; by default all. The log still bounds lines of one
    // kind to 10 a second, of the transport's time.
    explicit captured_log(log& from, log_level least = log_level::debug) {
        from.level(least);
        from.to([to = lines_](log_level level, std::string_view text) {
            to->push_back({level, std::string(text)});
        });
    }

    // Oldest first. Valid until the log writes again.
    const std::vector<line>& lines() const noexcept { return *lines_; }
    // The number of lines that contain `part`.
    std::size_t count(std::string_view part) const {
        return static_cast<std::size_t>(
            std::count_if(lines_->begin(), lines_->end(),
                          [&](const line& l) { return l.text.find(part) != std::string::npos; }));
    }
    bool contains(std::string_view part) const { return count(part) != 0; }
    // All lines, for the message of a test that fails: "warning: link 'feed': ..", one a line.
    std::string text() const {
        std::string all;
        for (const line& l : *lines_) all.append(name(l.level)).append(": ").append(l.text) += '\n';
        return all;
    }
    // Forgets the lines so far.
    void clear() noexcept { lines_->clear(); }

private:
    std::shared_ptr<std::vector<line>> lines_ = std::make_shared<std::vector<line>>();
};

}  // namespace ice::testing
